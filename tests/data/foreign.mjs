// Uses jose (npm). For a REQUEST of {key, claims} it prints a token, for {key, token} the claims in it.
import { EncryptJWT, jwtDecrypt } from "jose";

const { key: hex, claims, token } = JSON.parse(process.env.REQUEST);
const key = Buffer.from(hex, "hex");
if (claims) {
  const jwt = new EncryptJWT(claims).setProtectedHeader({ alg: "dir", enc: "A256GCM" });
  console.log(await jwt.encrypt(key));
} else {
  console.log(JSON.stringify((await jwtDecrypt(token, key)).payload));
}
