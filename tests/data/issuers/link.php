<?php
function base64url(string $raw): string
{
    return rtrim(strtr(base64_encode($raw), '+/', '-_'), '=');
}

function ecb_token(string $key, string $path): string
{
    $padded = $path . str_repeat("\0", -strlen($path) & 15);
    $options = OPENSSL_RAW_DATA | OPENSSL_ZERO_PADDING;
    return base64url(openssl_encrypt($padded, 'aes-256-ecb', $key, $options));
}

function jwe_token(string $key, array $claims): string
{
    $header = base64url('{"alg":"dir","enc":"A256GCM"}');
    $json = json_encode($claims, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE);
    $iv = random_bytes(12);
    $sealed = openssl_encrypt($json, 'aes-256-gcm', $key, OPENSSL_RAW_DATA, $iv, $tag, $header);
    return implode('.', [$header, '', base64url($iv), base64url($sealed), base64url($tag)]);
}

// link.php KEY_FILE PATH [SECONDS FILENAME]
[, $key_file, $path] = $argv;
$key = file_get_contents($key_file);
// openssl silently pads a short key with zero bytes
if (!preg_match('/^[0-9a-f]{64}\n?$/iD', $key)) {
    fwrite(STDERR, "$key_file: expected one key of 64 hex digits\n");
    exit(1);
}
$key = hex2bin(trim($key));
if ($argc > 3) {
    echo jwe_token($key, ['path' => $path, 'exp' => time() + $argv[3], 'filename' => $argv[4]]), "\n";
} else {
    echo ecb_token($key, $path), "\n";
}
