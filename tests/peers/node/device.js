'use strict';

/*
 * A device of LwM2M 1.0 for the tests: lwm2m-node-lib under arguments, commands and one line per thing that happens.
 *
 * Arguments: HOST PORT ENDPOINT. Commands, one a line on standard input: `set PATH VALUE`, `update`, `stop`. The end of
 * the input stops it too, without De-register. The lines that it prints are listed in tests/peers/README.md.
 */

const { client } = require('lwm2m-node-lib');
const readline = require('readline');

const VALUES = {
    '/1/0': { 0: 123, 1: 300, 6: 'true', 7: 'U' },
    '/3/0': { 0: 'Node Works', 1: 'Model 0', 9: 80, 13: 1700000000, 14: '+01', 16: 'U' },
    '/3303/0': { 5700: 20.5, 5701: 'Cel' },
    '/3303/1': { 5700: -4.25, 5701: 'Cel' },
};

/* A request whose Accept is not among these gets no answer at all. */
const FORMATS = [
    { name: 'lightweightm2m/text', value: 1541 },
    { name: 'application/vnd.oma.lwm2m+tlv', value: 11542 },
    { name: 'application/vnd.oma.lwm2m+json', value: 11543 },
];

const [host, port, endpoint] = process.argv.slice(2);
const say = (line) => process.stdout.write(line + '\n');

/** The library's functions with callbacks as promises; what they give back is left out where nobody wants it. */
const ask = (method, ...given) =>
    new Promise((resolve, reject) => method(...given, (error, found) => (error ? reject(error) : resolve(found))));

/** Says each operation on a value; what a Read answers is the value itself. */
const report = (verb) => (object, instance, resource, value, callback) => {
    say(`${verb} /${object}/${instance}/${resource} ${value}`.trim());
    callback(null, value);
};

function listen(device) {
    for (const verb of ['read', 'write', 'execute']) {
        client.setHandler(device.serverInfo, verb, report(verb));
    }
    return device;
}

async function register() {
    for (const [instance, values] of Object.entries(VALUES)) {
        await ask(client.registry.create, instance);
        for (const [resource, value] of Object.entries(values)) {
            await ask(client.registry.setResource, instance, resource, value);
        }
    }
    const device = listen(await ask(client.register, host, port, '', endpoint));
    say(`registered ${device.location}`);
    return device;
}

/** Carries one command out; true when it was the last. */
async function command(device, line) {
    const [verb, path, value] = line.split(' ');
    if (verb === 'set') {
        const at = path.lastIndexOf('/');
        await ask(client.registry.setResource, path.slice(0, at), path.slice(at + 1), value);
    } else if (verb === 'update') {
        listen(await ask(client.update, device));
        say('updated');
    } else if (verb === 'stop') {
        await ask(client.unregister, device);
        say('deregistered');
        return true;
    }
    return false;
}

async function main() {
    const udp = { ipProtocol: 'udp4', serverProtocol: 'udp4' };
    client.init({ client: { lifetime: '300', version: '1.0', logLevel: 'FATAL', formats: FORMATS, ...udp } });
    const device = await register();
    for await (const line of readline.createInterface({ input: process.stdin })) {
        if (await command(device, line)) {
            break;
        }
    }
}

main().then(
    () => process.exit(0),
    (error) => {
        say(`error ${error.message}`);
        process.exit(1);
    },
);
