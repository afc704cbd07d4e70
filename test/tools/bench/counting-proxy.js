/**
 * A thread with a proxy in front of a service, which counts requests and the bytes of their bodies. The
 * thread that commands are run from reads the counts from shared memory, as it stands still meanwhile.
 */
import * as http from 'node:http';
import { pipeline } from 'node:stream';
import { parentPort, workerData } from 'node:worker_threads';

const counts = new BigInt64Array(workerData.shared);
const [requests, sent, received] = [0, 1, 2];
const agent = new http.Agent({ keepAlive: true });
let target;

function count(what, many) {
  Atomics.add(counts, what, BigInt(many));
}

const server = http.createServer((request, response) => {
  count(requests, 1);
  const { hostname, port } = target;
  const { method, url: path } = request;
  const upstream = http.request({ hostname, port, method, path, agent, setHost: false });
  // With the name of the host that the request was signed for.
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    const [name, value] = request.rawHeaders.slice(i, i + 2);
    if (!/^(connection|keep-alive|expect)$/i.test(name)) upstream.appendHeader(name, value);
  }
  request.on('data', (block) => count(sent, block.length));
  pipeline(request, upstream, () => {});
  upstream.once('error', () => response.destroy());
  response.once('close', () => response.writableFinished || upstream.destroy());
  upstream.once('response', (answer) => {
    response.writeHead(answer.statusCode, answer.statusMessage, answer.rawHeaders);
    answer.on('data', (block) => count(received, block.length));
    pipeline(answer, response, () => {});
  });
});
// Bodies of gigabytes take their time.
server.requestTimeout = 0;

parentPort.on('message', (endpoint) => {
  target = new URL(endpoint);
  parentPort.postMessage(endpoint);
});
server.listen(0, '127.0.0.1', () => {
  parentPort.postMessage(`http://127.0.0.1:${server.address().port}`);
});
