// What the service's codes mean, in words for a photographer.

/** @type {Record<string, string>} */
export const STATES = {
  queued: "Waiting",
  running: "Working",
  succeeded: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
};

/** @type {Record<string, string>} */
export const KINDS = {
  denoise: "Denoise",
  preview: "Picture for the screen",
  describe: "Look at a capture",
  finetune: "Fine-tune",
  validate: "Validate",
};

/** @type {Record<string, string>} */
const STAGES = {
  "": "Starting",
  load: "Loading the model",
  fetch: "Fetching the captures",
  read: "Reading the raw",
  describe: "Measuring the noise",
  decode: "Reading the raw",
  noise: "Measuring the noise",
  network: "Denoising",
  denormalise: "Restoring the raw's levels",
  write: "Writing the raw",
  defects: "Looking for defective pixels",
  train: "Training",
  judge: "Judging the new model",
  draw: "Rendering pictures of the verdict",
  publish: "Publishing the new model",
  validation: "Measuring the validation blocks",
  benchmark: "Denoising the benchmark's blocks",
  store: "Storing the result",
};

/**
 * What a stage of a job is called.
 * @param {string} stage
 */
export function stageWords(stage) {
  return STAGES[stage] ?? stage.charAt(0).toUpperCase() + stage.slice(1);
}

/** @type {Record<string, string>} */
const ERRORS = {
  unreadable_raw: "This file cannot be read as a raw: it is damaged, cut off, or something else altogether.",
  unsupported_raw: "This raw is of a kind that Photosite does not know yet, or it holds no raw pixels any more.",
  already_denoised: "This file has been denoised already. Denoising twice would take detail away.",
  raw_too_large: "This file is larger than the service takes.",
  body_too_large: "The request is larger than the service takes.",
  model_error: "The model could not be used. Choose another one, or ask whoever runs the service.",
  invalid_configuration: "This cannot be done with these files or settings.",
  invalid_request: "The service did not understand one of the settings.",
  unauthenticated: "The service wants an API key.",
  permission_denied: "Your key does not allow this.",
  not_found: "There is no such thing any more; it may have been deleted, or be too old.",
  conflict: "Something that is there already stands in the way.",
  quota_exceeded: "You have as much waiting or stored as your account allows.",
  queue_full: "The service has more work than it can take at the moment.",
  overloaded: "The service has more work than it can take at the moment.",
  broker_unavailable: "The service is there, but its job store is not. It usually comes back by itself.",
  storage_unavailable: "The service cannot reach its storage, or the disk is full.",
  upload_busy: "The file is still being looked at. Try again in a moment.",
  upload_timeout: "The upload stopped coming. Check the network, and try again.",
  worker_lost: "The program that worked on this stopped again and again. The file may be the reason.",
  result_expired: "The result has been deleted: it was kept for as long as the service keeps results.",
  unreachable: "The service cannot be reached. Check that it is running and that the network is up.",
  stream_lost: "The connection to the service broke off.",
  wrong_key: "The service does not know this key.",
};

/**
 * A reason that a photographer understands; the service's own sentence says more.
 * @param {string} code
 */
export function errorWords(code) {
  return ERRORS[code] ?? "Something went wrong that should not have.";
}

/** @type {Record<string, string>} */
const SOURCES = {
  request: "as you gave it",
  tag: "from the file's own noise profile",
  profile: "from the file's own noise profile",
  estimate: "measured in the picture itself",
};

/**
 * Where a noise model came from.
 * @param {string} source
 */
export function sourceWords(source) {
  return SOURCES[source] ?? source;
}

/** @type {Record<string, string>} */
export const SENSORS = {
  bayer: "Bayer",
  "x-trans": "X-Trans",
  monochrome: "monochrome",
};

/**
 * The colour pattern of a raw in a word.
 * @param {{ sensor?: string, cfa_pattern: string }} facts
 */
export function patternWords(facts) {
  return facts.sensor && facts.sensor !== "bayer" ? SENSORS[facts.sensor] : facts.cfa_pattern;
}

/**
 * A model's name in a choice, with its sensor if that is not the usual one.
 * @param {{ reference: string, sensor: string }} model
 */
export function modelWords(model) {
  return model.sensor === "bayer" ? model.reference : `${model.reference} (${SENSORS[model.sensor] ?? model.sensor})`;
}

/** @type {Record<string, string>} */
export const OBJECTIVES = {
  auto: "Automatic",
  recorrupted: "Recorrupted: adds more of the same noise and learns to take it away",
  noise2noise: "Noise2Noise: compares frames of one static scene",
  neighbor2neighbor: "Neighbor2Neighbor: compares neighbouring pixels",
  blind2unblind: "Blind2Unblind: predicts pixels from their surroundings",
  supervised: "Supervised: learned from noisy and clean pairs",
};
