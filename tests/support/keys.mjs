// keys.mjs - key pairs whose public half may be told as a JWK.
//
// Node 20 exports a JWK with the key locked, and when a garbage collection falls into it that ends the job that made the key, the job
// waits for the same lock: the process hangs for ever. So the keys are made as text and read again: they share nothing with the job.
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';

/** As generateKeyPairSync: {publicKey, privateKey}. */
export function keyPair(type, options) {
  const encodings = { publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' } };
  const { publicKey, privateKey } = generateKeyPairSync(type, { ...options, ...encodings });
  return { publicKey: createPublicKey(publicKey), privateKey: createPrivateKey(privateKey) };
}
