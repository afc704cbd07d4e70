/** The agent of proxies, loaded when the environment names one. */
export { HttpsProxyAgent } from 'https-proxy-agent';
