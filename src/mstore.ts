/**
 * The public library. A program opens a workspace and calls the same flows as the command line; every
 * function rejects with {@link MstoreError} for what users, files and remotes can cause.
 */
export type { Digest } from './base/digest.ts';
export { type ErrorCode, isMstoreError, MstoreError } from './base/errors.ts';
export type { Progress, ProgressPhase } from './base/progress.ts';
export type { TreeEntry } from './base/tree.ts';
export { type AddResult, add, type WorkOptions } from './flow/add.ts';
export { type CheckoutOptions, type CheckoutResult, checkout } from './flow/checkout.ts';
export { type CheckoutToResult, checkoutTo } from './flow/checkout-to.ts';
export { diffVersions, diffWorkspace, type PathDiff } from './flow/diff.ts';
export {
  diffTensors,
  type TensorChange,
  type TensorSide,
  type TensorsDiff,
  type TensorTotals,
} from './flow/diff-tensors.ts';
export type { MoveOptions, MoveResult } from './flow/environments.ts';
export { type ExportOptions, exportTo } from './flow/export.ts';
export { type FetchResult, fetch } from './flow/fetch.ts';
export { type FetchTargets, findFetchTargets } from './flow/fetch-targets.ts';
export { gate } from './flow/gate.ts';
export { cleanUp, type GcResult } from './flow/gc/gc.ts';
export type { GcOptions } from './flow/gc/options.ts';
export { type GcPlace, localPlace, remotePlace } from './flow/gc/place.ts';
export { allVersions } from './flow/history.ts';
export {
  type ImportPlan,
  type ImportRequest,
  type ImportResult,
  importModel,
  planImport,
} from './flow/import/import.ts';
export { type RefreshResult, refreshImport, type SourceChange } from './flow/import/refresh.ts';
export {
  type InfoFile,
  type InfoResult,
  info as getModelInfo,
  type ModelInfo,
} from './flow/info.ts';
export { initWorkspace } from './flow/init.ts';
export { findFile, type Listing, list, readFile } from './flow/list.ts';
export {
  type ModelChange,
  ModelRegistry,
  type OpenRegistryOptions,
  openRegistry,
} from './flow/model-registry.ts';
export { type PackageOptions, type PackageResult, packageVersion } from './flow/package.ts';
export { type PackageInput, packageFile } from './flow/package-source.ts';
export { type PublishRequest, type PublishResult, publish } from './flow/publish/publish.ts';
export { type AlonePullResult, pullAlone } from './flow/pull-alone.ts';
export { type PushResult, push } from './flow/push.ts';
export { type PushWithVersionsResult, pushWithVersions } from './flow/push-versions.ts';
export type { RegisterResult, Registration } from './flow/register.ts';
export type { HistoryEntry, ModelHistory } from './flow/registry-history.ts';
export type { ModelSummary, VersionList, VersionSummary } from './flow/registry-read.ts';
export {
  addRemote,
  chooseRemote,
  chooseToClear,
  listRemotes,
  type OwnedRemote,
  removeRemote,
} from './flow/remotes.ts';
export {
  type ResolvedModel,
  type ResolveOptions,
  resolveModel,
} from './flow/resolve/resolve.ts';
export {
  type AvailableModel,
  type AvailableOptions,
  isModelAvailable,
  listAvailableModels,
} from './flow/session/available-models.ts';
export {
  type LoadModelOptions,
  loadLabels,
  loadModel,
  type ModelArguments,
} from './flow/session/load-model.ts';
export type { OpenModelOptions } from './flow/session/open-model.ts';
export {
  type OutcomeReporter,
  type ReportedOutcome,
  type ReportOptions,
  reportOutcomes,
} from './flow/session/outcome-reporter.ts';
export { type PathStatus, type StatusResult, status } from './flow/status.ts';
export { type Surroundings, systemSurroundings } from './flow/surroundings.ts';
export { findTargets, type Targets } from './flow/targets.ts';
export {
  type ListedTensor,
  listTensors,
  type ReadTensor,
  type ReadTensorOptions,
  readTensor,
  type TensorListing,
  type TensorRange,
} from './flow/tensors.ts';
export type { Tracked } from './flow/tracked.ts';
export { type UnpackageResult, unpackage } from './flow/unpackage.ts';
export { type UnpackageToResult, unpackageTo } from './flow/unpackage-to.ts';
export { untrack } from './flow/untrack.ts';
export { type Usage, type UsageOptions, usage } from './flow/usage.ts';
export { type ValidateResult, validatePaths, validateStored } from './flow/validate.ts';
export type { Finding } from './flow/verify/findings.ts';
export { type VerifyOptions, type VerifyReport, verify } from './flow/verify/verify.ts';
export type { StateResult } from './flow/version-states.ts';
export { openWorkspace, type Workspace } from './flow/workspace.ts';
export type { EnvironmentEntry, Evidence, GateDecision, VersionState } from './registry/entry.ts';
export type { VersionRecord } from './registry/record.ts';
export type { LoadedFacts, LoadedModel, PredictOptions } from './session/loaded-model.ts';
export type {
  FailedEvent,
  LoadedEvent,
  ModelEventMap,
  ModelEvents,
  PredictedEvent,
} from './session/model-events.ts';
export type { ImportRuntime, RuntimeName } from './session/runtime.ts';
export type { InputTensor, ModelTensor, TensorData, TensorFacts } from './session/tensors.ts';
export type { Finding as ValidationFinding, Verdict } from './validate/report.ts';
export type { FileValidation } from './validate/validate.ts';
export type { TensorDifference } from './weights/difference.ts';
