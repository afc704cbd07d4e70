/*
 * What the server answers, as far as the page reads it. Browser code imports nothing of the server:
 * test/unit/web/wire.test.ts holds these types against those of the flows.
 */

/** Who one is, by the token that was sent. */
export interface WhoAmI {
  readonly name: string;
  readonly scopes: readonly string[];
  /** All models where it is left out. */
  readonly models?: readonly string[];
}

/** A model in short. */
export interface ModelSummary {
  readonly model: string;
  readonly versions: number;
  readonly retired: number;
  readonly latest: string | null;
  readonly live: ReadonlyArray<{
    readonly environment: string;
    readonly version: string;
    readonly since: string;
  }>;
  readonly changed: string;
}

/** All models. */
export interface ModelsAnswer {
  readonly models: readonly ModelSummary[];
}

/** A version in short. */
export interface VersionSummary {
  readonly version: string;
  readonly created: string;
  readonly author: string;
  readonly path: string;
  readonly size: number;
  readonly state: string;
  readonly live: readonly string[];
  readonly description?: string;
  readonly status?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly metrics: Readonly<Record<string, number>>;
}

/** The versions of a model, the latest first. */
export interface VersionsAnswer {
  readonly model: string;
  readonly latest: string | null;
  readonly versions: readonly VersionSummary[];
  readonly retired: number;
  /** Metrics that gates judge. */
  readonly judged: readonly string[];
  readonly lowerIsBetter: readonly string[];
}

/** What the gate said of a move. */
export interface GateDecision {
  readonly passed: boolean;
  readonly score?: number;
  readonly rival?: string;
  readonly rival_score?: number;
  readonly margin?: number;
  readonly min_improvement?: number;
  readonly policy?: string;
}

/** What moved an environment, and why. */
interface MoveFacts {
  readonly environment: string;
  readonly version: string;
  readonly number: number;
  readonly action: string;
  readonly by: string;
  readonly reason?: string;
  readonly from?: string;
  readonly forced?: true;
  readonly gate?: GateDecision;
}

/** What is live in an environment. */
export interface LiveEnvironment extends MoveFacts {
  readonly since: string;
}

/** What is live in each environment. */
export interface EnvironmentsAnswer {
  readonly lifecycle: readonly string[];
  readonly environments: readonly LiveEnvironment[];
}

/** An entry of a history; it may have keys that are not known here. */
export interface HistoryEntry extends MoveFacts {
  readonly at: string;
  readonly sha256: string;
}

/** A history, the newest entry first. */
export interface HistoryAnswer {
  readonly total: number;
  readonly entries: readonly HistoryEntry[];
}

/** Everything of a version. */
export interface VersionDetails {
  readonly sha256: string;
  readonly record: {
    readonly version: string;
    readonly created: string;
    readonly author: string;
    readonly tool: string;
    readonly content: {
      readonly path: string;
      readonly kind: string;
      readonly sha256: string;
      readonly size: number;
    };
    readonly description?: string;
    readonly changelog?: readonly string[];
    readonly status?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly metrics: Readonly<Record<string, number>>;
    readonly metadata?: Readonly<Record<string, unknown>>;
    readonly source?: Readonly<Record<string, unknown>>;
  };
  readonly states: ReadonlyArray<{
    readonly number: number;
    readonly state: string;
    readonly at: string;
    readonly by: string;
    readonly reason?: string;
  }>;
  readonly live: ReadonlyArray<{
    readonly environment: string;
    readonly since: string;
    readonly until: string | null;
    readonly number: number;
    readonly action: string;
    readonly by: string;
    readonly reason?: string;
  }>;
}

/** The files of a version. */
export interface FilesAnswer {
  readonly files: ReadonlyArray<{
    readonly path: string;
    readonly size: number;
    readonly sha256: string;
  }>;
}

/** How a version is. */
export interface Health {
  readonly model_type: string | null;
  readonly version: string;
  readonly status: 'healthy' | 'degraded' | 'unavailable';
  readonly problems: readonly string[];
}

/** One side of a comparison. */
export interface ComparedVersion {
  readonly version: string;
  readonly state: string;
  readonly created: string;
  readonly size: number;
  readonly stored: number;
  readonly own: number;
  readonly absent: number;
}

interface FileSide {
  readonly size: number;
  readonly sha256?: string | undefined;
  readonly link?: string;
}

/** A file that differs. */
export interface FileChange {
  readonly path: string;
  readonly change: 'added' | 'removed' | 'modified' | 'mode';
  readonly before?: FileSide | undefined;
  readonly after?: FileSide | undefined;
}

/** How two versions differ. */
export interface Comparison {
  readonly from: ComparedVersion;
  readonly to: ComparedVersion;
  readonly shared: number;
  readonly files: Readonly<Record<FileChange['change'] | 'same', number>>;
  readonly changes: readonly FileChange[];
  readonly metrics: ReadonlyArray<{
    readonly name: string;
    readonly before?: number;
    readonly after?: number;
  }>;
  readonly fields: ReadonlyArray<{
    readonly name: string;
    readonly before?: unknown;
    readonly after?: unknown;
  }>;
}

/** What versions take and share. */
export interface Sharing {
  readonly versions: ReadonlyArray<{
    readonly version: string;
    readonly created: string;
    readonly size: number;
    readonly stored: number;
    readonly own: number;
    readonly added: number;
    readonly absent: number;
  }>;
  readonly older: number;
  readonly size: number;
  readonly stored: number;
}

/** What a move did, or would do. */
export interface MoveResult {
  readonly environment: string;
  readonly action: string;
  readonly version: string;
  readonly before?: string;
  readonly unchanged: boolean;
  readonly dryRun: boolean;
  readonly number?: number;
  readonly gate?: GateDecision;
  readonly warnings: readonly string[];
}
