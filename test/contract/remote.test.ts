import { localRemote } from '../../src/remote/local.ts';
import { memoryRemote } from '../../src/remote/memory.ts';
import { counting } from '../../src/remote/wrappers/counting.ts';
import { faulty } from '../support/remote-faulty.ts';
import { tempFolder } from '../support/temp.ts';
import { remoteContract } from './remote.ts';

remoteContract('memory', () => memoryRemote());
remoteContract('a directory', () => localRemote(tempFolder()));
remoteContract('counting', () => counting(localRemote(tempFolder())));
remoteContract('faulty without faults', () => faulty(memoryRemote()));
