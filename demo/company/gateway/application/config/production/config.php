<?php  if ( ! defined('BASEPATH')) exit('No direct script access allowed');

/*
|--------------------------------------------------------------------------
| Base Site URL
|--------------------------------------------------------------------------
|
| WITH a trailing slash:
|
|	http://example.com/
|
*/
$config['base_url'] = "http://api.company.example/erangel/";

$config['log_threshold'] = 1;
$config['log_path'] = '';
$config["session_key"] = getenv('SESSION_KEY') ?: 'not-a-secret-in-dev';

// ---- services on OCP (ask platform team before you change these!!) ----
//$config['account_url'] = 'http://10.1.1.15:8080';  // old VM, switched off in 2021
$config['account_url']='{{ocp}}/account';
#$config["payment_url"] = "http://payment-old.company.example";
$config["payment_url"] = "{{ocp}}/payment"; // sari: new certificate since June
/* $config['user_url'] = 'http://localhost:9003'; */
$config['user_url']    =    '{{ocp}}/user' ;

$config['payment_timeout'] = 30;
$config['cookie_secure']	= FALSE;
$config['rewrite_short_tags'] = FALSE;
$config['proxy_ips'] = '';
