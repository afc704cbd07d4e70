/** All peers, and which of them are here. */
import { borg, casync, restic } from './peers-backup.js';
import { gitAnnex, gitLfs } from './peers-git.js';
import { dvc, hfXet } from './peers-python.js';
import { awsCli, rclone } from './service-tools.js';

/** Every peer that the bench knows, in the order in which they take turns. */
function knownPeers(venv) {
  return [gitLfs, restic, borg, casync, gitAnnex, dvc(venv), hfXet(venv)];
}

/** The peers that are asked for, by kind, each with its version where it is installed. */
export function findPeers(venv, names) {
  const [own, services] = [knownPeers(venv), [rclone(), awsCli(venv)]];
  const all = [...own, ...services];
  const unknown = (names ?? []).filter((name) => all.every((peer) => peer.name !== name));
  if (unknown.length > 0) throw new Error(`Not a peer: ${unknown.join(', ')}`);
  const asked = (peers) =>
    peers
      .filter((peer) => names === undefined || names.includes(peer.name))
      .map((peer) => ({ ...peer, version: peer.find() }));
  return { peers: asked(own), servicePeers: asked(services) };
}
