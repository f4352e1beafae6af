<?php
defined('BASEPATH') OR exit('No direct script access allowed');

/* Passes the request on to its service, and the service's answer back. */
function proxy(string $service, string $url): void
{
    $query = $_SERVER['QUERY_STRING'] ?? '';
    $call = curl_init($query === '' ? $url : $url . '?' . $query);
    curl_setopt_array($call, [
        CURLOPT_CUSTOMREQUEST => $_SERVER['REQUEST_METHOD'],
        CURLOPT_NOBODY => $_SERVER['REQUEST_METHOD'] === 'HEAD',
        CURLOPT_HTTPHEADER => request_headers(),
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_CONNECTTIMEOUT => 2,
        CURLOPT_TIMEOUT => 30,
    ]);
    $body = file_get_contents('php://input');
    if ($body !== '') {
        curl_setopt($call, CURLOPT_POSTFIELDS, $body);
    }
    $answer = curl_exec($call);
    if ($answer === false) {
        answer(502, ['error' => curl_error($call), 'service' => $service, 'upstream' => $url]);
        return;
    }
    http_response_code(curl_getinfo($call, CURLINFO_RESPONSE_CODE));
    $type = curl_getinfo($call, CURLINFO_CONTENT_TYPE);
    if ($type) {
        header('Content-Type: ' . $type);
    }
    echo $answer;
}

function request_headers(): array
{
    $passed = ['Accept', 'Authorization', 'Content-Type'];
    $headers = ['Expect:'];
    foreach (getallheaders() as $name => $value) {
        if (in_array(ucwords(strtolower($name), '-'), $passed, true)) {
            $headers[] = $name . ': ' . $value;
        }
    }
    return $headers;
}
