import { createCipheriv, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";

function ecbToken(key, path) {
  const raw = Buffer.from(path);
  const padded = Buffer.concat([raw, Buffer.alloc(-raw.length & 15)]);
  const aes = createCipheriv("aes-256-ecb", key, null).setAutoPadding(false);
  return Buffer.concat([aes.update(padded), aes.final()]).toString("base64url");
}

function jweToken(key, claims) {
  const header = Buffer.from('{"alg":"dir","enc":"A256GCM"}').toString("base64url");
  const iv = randomBytes(12);
  const aes = createCipheriv("aes-256-gcm", key, iv).setAAD(Buffer.from(header));
  const sealed = Buffer.concat([aes.update(JSON.stringify(claims)), aes.final()]);
  const parts = [iv, sealed, aes.getAuthTag()].map((part) => part.toString("base64url"));
  return [header, "", ...parts].join(".");
}

// link.mjs KEY_FILE PATH [SECONDS FILENAME]
const [keyFile, path, seconds, filename] = process.argv.slice(2);
const text = readFileSync(keyFile, "ascii").trim();
if (!/^[0-9a-f]{64}$/i.test(text)) throw new Error(`${keyFile}: expected one key of 64 hex digits`);
const key = Buffer.from(text, "hex");
if (seconds) {
  const exp = Math.floor(Date.now() / 1000) + Number(seconds);
  console.log(jweToken(key, { path, exp, filename }));
} else {
  console.log(ecbToken(key, path));
}
