import rateLimit from '@fastify/rate-limit';
import swagger from '@fastify/swagger';
import fastify, { LogController } from 'fastify';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** What the server stands on, in one module of its own: only `mstore serve` loads it. */
export const framework = {
  fastify,
  LogController,
  rateLimit,
  swagger,
  metrics: { Counter, Gauge, Histogram, Registry, collectDefaultMetrics },
};

/** Loaded by {@link framework}'s users. */
export type Framework = typeof framework;
