/** The client of the Hugging Face Hub, loaded when something is read there. */
export { listFiles, modelInfo } from '@huggingface/hub';
