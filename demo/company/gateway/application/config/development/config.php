<?php
defined('BASEPATH') OR exit('No direct script access allowed');

// everything on the developer's own machine
$config['base_url'] = 'http://localhost/erangel/';
$config['account_url'] = 'http://localhost:9001';
$config['payment_url'] = 'http://localhost:9002';
$config['user_url']    = 'http://localhost:9003';
