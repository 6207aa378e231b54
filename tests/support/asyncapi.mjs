// asyncapi.mjs - docs/asyncapi.yaml as a judge: what says yes or no to a payload.
import Ajv2020 from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import fs from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { root } from './stack.mjs';

const document = parse(fs.readFileSync(path.join(root, 'docs/asyncapi.yaml'), 'utf8'));
const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats(ajv);
ajv.addSchema({ $id: 'madang', ...document });

export const channels = Object.values(document.channels);

/** The channel of an address; `{...}` in the document's address stands for anything. */
export const channelOf = (address) => channels.find((channel) => new RegExp(`^${channel.address.replaceAll('.', '\\.').replace(/\{\w+\}/g, '[^./]+')}$`).test(address));

/** Of each message of a channel: its name, and what says yes or no to a payload. */
export const formsOf = ({ messages }) => Object.values(messages).map(({ $ref }) => ({ name: $ref.split('/').at(-1), fits: ajv.compile({ $ref: `madang${$ref}/payload` }) }));

/** The forms of `forms` that a payload has; throws with the reasons when it has none. */
export function namesOf(forms, payload, where) {
  const names = forms.filter(({ fits }) => fits(payload)).map(({ name }) => name);
  if (!names.length) throw new Error(`${where}: ${JSON.stringify(payload)}\n${forms.map(({ name, fits }) => `${name}: ${ajv.errorsText(fits.errors)}`).join('\n')}`);
  return names;
}
