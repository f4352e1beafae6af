<?php
/*
 * Front controller. The environment comes from the web server (CI_ENV), as in CodeIgniter 3.
 */
define('ENVIRONMENT', isset($_SERVER['CI_ENV']) ? $_SERVER['CI_ENV'] : 'development');
define('BASEPATH', __DIR__ . '/system/');
define('APPPATH', __DIR__ . '/application/');

require APPPATH . 'branch.php';
require APPPATH . 'proxy.php';

/* config/config.php first, then the environment's over it, like CI_Config */
function load_config(): array
{
    $config = [];
    require APPPATH . 'config/config.php';
    $live = APPPATH . 'config/' . basename(ENVIRONMENT) . '/config.php';
    if (is_file($live)) {
        require $live;
    }
    return $config;
}

function answer(int $status, array $body): void
{
    http_response_code($status);
    header('Content-Type: application/json');
    echo json_encode($body, JSON_UNESCAPED_SLASHES), "\n";
}

$path = explode('?', $_SERVER['REQUEST_URI'], 2)[0];
$segments = explode('/', preg_replace('#^/erangel/*#', '', $path), 2);
$service = $segments[0];
$rest = $segments[1] ?? '';

if ($service === 'health') {
    answer(200, ['status' => 'ok', 'environment' => ENVIRONMENT, 'branch' => BRANCH]);
    return;
}

$config = load_config();
if (!preg_match('/^[a-z][a-z0-9_]*$/', $service) || !isset($config[$service . '_url'])) {
    answer(404, ['error' => 'unknown service', 'service' => $service]);
    return;
}
proxy($service, rtrim($config[$service . '_url'], '/') . '/' . $rest);
