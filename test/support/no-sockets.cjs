/** Ends the program that loads it when it asks for a connection, a socket or a name of the network. */
const dgram = require('node:dgram');
const dns = require('node:dns');
const net = require('node:net');

const refuse = (what) => () => {
  process.stderr.write(`a socket was asked for: ${what}\n`);
  process.exit(99);
};

net.Socket.prototype.connect = refuse('connect');
net.Server.prototype.listen = refuse('listen');
dgram.Socket.prototype.bind = refuse('bind');
dgram.Socket.prototype.send = refuse('send');
for (const name of ['lookup', 'resolve', 'resolve4', 'resolve6']) dns[name] = refuse(name);
for (const name of ['lookup', 'resolve']) dns.promises[name] = refuse(name);
