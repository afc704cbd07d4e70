/** The client of the Hugging Face Hub, loaded when something is read or published there. */
export { commit, createBranch, createRepo, listFiles, modelInfo } from '@huggingface/hub';
