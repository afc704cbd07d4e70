import { isRemote } from '../support/damage-run.ts';
import { damageSuite } from '../support/damage-suite.ts';
import { kindNames } from '../support/damage-table.ts';

damageSuite(kindNames.filter((kind) => !isRemote(kind)));
