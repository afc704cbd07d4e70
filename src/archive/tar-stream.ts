/*
 * All that is used of tar-stream, for one import that is made when an archive is read or written: no other
 * command waits for it.
 */
export { extract, pack } from 'tar-stream';
