#include "convert.h"

#include <climits>
#include <cmath>
#include <cstring>

#include "convert_constraints.h"

namespace switchyard {
namespace {

constexpr double kMaxSafeInteger = 9007199254740991.0;

bool is_absent(const Napi::Value& value) { return value.IsUndefined() || value.IsNull(); }

Napi::Object read_object(Napi::Env env, const Napi::Value& value, const char* name) {
  if (!value.IsObject()) throw bad_argument(env, std::string(name) + " must be an object");
  return value.As<Napi::Object>();
}

double read_number(Napi::Env env, const Napi::Value& value, const char* name) {
  if (!value.IsNumber()) throw bad_argument(env, std::string(name) + " must be a number");
  return value.As<Napi::Number>().DoubleValue();
}

// Numbers that the struct holds as int: absent leaves the default.
void read_optional(Napi::Env env, const Napi::Object& object, const char* name, int* out) {
  const Napi::Value value = object.Get(name);
  if (is_absent(value)) return;
  const int64_t number = read_integer(env, value, name);
  if (number < INT_MIN || number > INT_MAX) throw bad_argument(env, std::string(name) + " is out of range");
  *out = int(number);
}

void read_optional(Napi::Env env, const Napi::Object& object, const char* name, int64_t* out) {
  const Napi::Value value = object.Get(name);
  if (!is_absent(value)) *out = read_integer(env, value, name);
}

void read_optional(Napi::Env env, const Napi::Object& object, const char* name, float* out) {
  const Napi::Value value = object.Get(name);
  if (!is_absent(value)) *out = float(read_number(env, value, name));
}

void read_optional(Napi::Env env, const Napi::Object& object, const char* name, bool* out) {
  const Napi::Value value = object.Get(name);
  if (is_absent(value)) return;
  if (!value.IsBoolean()) throw bad_argument(env, std::string(name) + " must be a boolean");
  *out = value.As<Napi::Boolean>().Value();
}

void read_optional(Napi::Env env, const Napi::Object& object, const char* name, std::string* out) {
  const Napi::Value value = object.Get(name);
  if (!is_absent(value)) *out = read_string(env, value, name);
}

void read_optional(Napi::Env env, const Napi::Object& object, const char* name, std::vector<int32_t>* out) {
  const Napi::Value value = object.Get(name);
  if (!is_absent(value)) *out = read_ids(env, value, name);
}

// A count where 0 means the engine's default.
void read_or_default(Napi::Env env, const Napi::Object& object, const char* name, int* out) {
  int value = 0;
  read_optional(env, object, name, &value);
  if (value != 0) *out = value;
}

std::vector<std::pair<int32_t, float>> read_logit_bias(Napi::Env env, const Napi::Value& value) {
  std::vector<std::pair<int32_t, float>> biases;
  if (is_absent(value)) return biases;
  if (!value.IsArray()) throw bad_argument(env, "logitBias must be an array of [id, bias]");
  const Napi::Array list = value.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const Napi::Value item = list.Get(i);
    if (!item.IsArray()) throw bad_argument(env, "logitBias must be an array of [id, bias]");
    const Napi::Array pair = item.As<Napi::Array>();
    const int64_t id = read_integer(env, pair.Get(0u), "logitBias id");
    if (id < 0 || id > INT_MAX) throw bad_argument(env, "logitBias id is out of range");
    biases.emplace_back(int32_t(id), float(read_number(env, pair.Get(1u), "logitBias bias")));
  }
  return biases;
}

const char* finish_name(Finish finish) {
  switch (finish) {
    case Finish::none: break;
    case Finish::stop: return "stop";
    case Finish::length: return "length";
    case Finish::cancelled: return "cancelled";
    case Finish::error: return "error";
  }
  return nullptr;
}

Napi::Array write_logprobs(Napi::Env env, const std::vector<TokenLogprob>& logprobs) {
  Napi::Array list = Napi::Array::New(env, logprobs.size());
  for (size_t i = 0; i < logprobs.size(); ++i) {
    Napi::Array top = Napi::Array::New(env, logprobs[i].top.size());
    for (size_t j = 0; j < logprobs[i].top.size(); ++j) {
      Napi::Array pair = Napi::Array::New(env, 2);
      pair.Set(0u, double(logprobs[i].top[j].first));
      pair.Set(1u, double(logprobs[i].top[j].second));
      top.Set(uint32_t(j), pair);
    }
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("logprob", double(logprobs[i].logprob));
    entry.Set("top", top);
    list.Set(uint32_t(i), entry);
  }
  return list;
}

}  // namespace

Napi::Error to_error(Napi::Env env, const Status& status) {
  Napi::Error error = Napi::Error::New(env, status.message);
  error.Set("code", Napi::String::New(env, code_name(status.code)));
  return error;
}

Napi::TypeError bad_argument(Napi::Env env, const std::string& what) {
  Napi::TypeError error = Napi::TypeError::New(env, what);
  error.Set("code", Napi::String::New(env, code_name(Code::invalid_argument)));
  return error;
}

std::string read_string(Napi::Env env, const Napi::Value& value, const char* name) {
  if (!value.IsString()) throw bad_argument(env, std::string(name) + " must be a string");
  std::string text = value.As<Napi::String>().Utf8Value();
  if (text.find('\0') != std::string::npos)
    throw bad_argument(env, std::string(name) + " must not contain a zero character");
  return text;
}

int64_t read_integer(Napi::Env env, const Napi::Value& value, const char* name) {
  const double number = read_number(env, value, name);
  if (!(std::fabs(number) <= kMaxSafeInteger) || number != std::floor(number)) {
    throw bad_argument(env, std::string(name) + " must be an integer");
  }
  return int64_t(number);
}

std::vector<int32_t> read_ids(Napi::Env env, const Napi::Value& value, const char* name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array) {
    throw bad_argument(env, std::string(name) + " must be an Int32Array");
  }
  const Napi::Int32Array array = value.As<Napi::Int32Array>();
  const size_t length = array.ElementLength();
  return length == 0 ? std::vector<int32_t>() : std::vector<int32_t>(array.Data(), array.Data() + length);
}

EngineOptions read_engine_options(Napi::Env env, const Napi::Value& value) {
  const Napi::Object object = read_object(env, value, "options");
  EngineOptions options;
  options.model_path = read_string(env, object.Get("modelPath"), "modelPath");
  read_optional(env, object, "mode", &options.mode);
  read_optional(env, object, "isa", &options.isa);
  read_optional(env, object, "head", &options.head);
  read_optional(env, object, "dense", &options.dense);
  read_optional(env, object, "weightsCache", &options.weights_cache);
  read_optional(env, object, "speculate", &options.speculate);
  read_optional(env, object, "threads", &options.threads);
  read_or_default(env, object, "maxSequences", &options.max_sequences);
  read_or_default(env, object, "prefillChunk", &options.prefill_chunk);
  read_optional(env, object, "kvBytes", &options.kv_bytes);
  read_optional(env, object, "maxContext", &options.max_context);
  return options;
}

BenchOptions read_bench_options(Napi::Env env, const Napi::Value& value) {
  const Napi::Object object = read_object(env, value, "options");
  BenchOptions options;
  options.engine = read_engine_options(env, value);
  read_or_default(env, object, "repetitions", &options.repetitions);
  const Napi::Value cases = object.Get("cases");
  if (!cases.IsArray()) throw bad_argument(env, "cases must be an array");
  const Napi::Array list = cases.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const Napi::Object item = read_object(env, list.Get(i), "cases");
    BenchCase& wanted = options.cases.emplace_back();
    read_optional(env, item, "prefill", &wanted.prefill);
    read_optional(env, item, "tokens", &wanted.tokens);
    read_optional(env, item, "batch", &wanted.batch);
    read_optional(env, item, "depth", &wanted.depth);
    read_optional(env, item, "drafted", &wanted.drafted);
    read_optional(env, item, "exactHead", &wanted.exact_head);
    read_optional(env, item, "busyNeighbour", &wanted.busy_neighbour);
  }
  return options;
}

GenerateRequest read_request(Napi::Env env, const Napi::Value& value) {
  const Napi::Object object = read_object(env, value, "request");
  GenerateRequest request;
  request.prompt = read_ids(env, object.Get("prompt"), "prompt");
  read_optional(env, object, "stopIds", &request.stop_ids);
  read_optional(env, object, "neverIds", &request.never_ids);
  read_optional(env, object, "prefixEnds", &request.prefix_ends);
  read_optional(env, object, "predicted", &request.predicted);
  read_optional(env, object, "maxTokens", &request.max_tokens);
  SamplingParams& sampling = request.sampling;
  read_optional(env, object, "temperature", &sampling.temperature);
  read_optional(env, object, "topP", &sampling.top_p);
  read_optional(env, object, "topK", &sampling.top_k);
  read_optional(env, object, "minP", &sampling.min_p);
  read_optional(env, object, "frequencyPenalty", &sampling.frequency_penalty);
  read_optional(env, object, "presencePenalty", &sampling.presence_penalty);
  read_optional(env, object, "repetitionPenalty", &sampling.repetition_penalty);
  read_optional(env, object, "unpenalizedIds", &sampling.unpenalized_ids);
  read_optional(env, object, "topLogprobs", &sampling.top_logprobs);
  sampling.logit_bias = read_logit_bias(env, object.Get("logitBias"));
  request.constraints = read_constraints(env, object.Get("constraints"));
  const Napi::Value seed = object.Get("seed");
  if (!is_absent(seed)) {
    bool lossless = false;
    if (!seed.IsBigInt()) throw bad_argument(env, "seed must be a bigint");
    sampling.seed = seed.As<Napi::BigInt>().Uint64Value(&lossless);
    if (!lossless) throw bad_argument(env, "seed must be an unsigned 64-bit bigint");
  }
  return request;
}

Napi::Int32Array write_ids(Napi::Env env, const std::vector<int32_t>& ids) {
  Napi::Int32Array array = Napi::Int32Array::New(env, ids.size());
  if (!ids.empty()) std::memcpy(array.Data(), ids.data(), ids.size() * sizeof(int32_t));
  return array;
}

Napi::Object write_info(Napi::Env env, const EngineInfo& info) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("isa", info.isa);
  object.Set("mode", info.mode);
  object.Set("head", info.head);
  object.Set("dense", info.dense);
  object.Set("speculate", info.speculate);
  object.Set("threads", info.threads);
  object.Set("numHiddenLayers", info.num_hidden_layers);
  object.Set("hiddenSize", info.hidden_size);
  object.Set("numExperts", info.num_experts);
  object.Set("expertsPerToken", info.experts_per_token);
  object.Set("vocabSize", info.vocab_size);
  object.Set("maxContext", info.max_context);
  object.Set("maxSequences", info.max_sequences);
  object.Set("weightBytes", double(info.weight_bytes));
  object.Set("headBytes", double(info.head_bytes));
  object.Set("kvBytes", double(info.kv_bytes));
  object.Set("kvTokens", double(info.kv_tokens));
  object.Set("loadSeconds", info.load_seconds);
  object.Set("weightsCache", info.weights_cache);
  return object;
}

Napi::Object write_stats(Napi::Env env, const EngineStats& stats) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("running", stats.running);
  object.Set("waiting", stats.waiting);
  object.Set("kvTokensUsed", double(stats.kv_tokens_used));
  object.Set("kvTokensTotal", double(stats.kv_tokens_total));
  object.Set("tokensGenerated", double(stats.tokens_generated));
  object.Set("tokensPrefilled", double(stats.tokens_prefilled));
  object.Set("tokensDrafted", double(stats.tokens_drafted));
  object.Set("tokensAccepted", double(stats.tokens_accepted));
  object.Set("tokensPerSecond", stats.tokens_per_second);
  return object;
}

Napi::Object write_event(Napi::Env env, const TokenEvent& event) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("sequence", double(event.sequence));
  object.Set("ids", write_ids(env, event.ids));
  if (!event.logprobs.empty()) object.Set("logprobs", write_logprobs(env, event.logprobs));
  if (const char* finish = finish_name(event.finish)) object.Set("finish", finish);
  if (!event.error.ok()) {
    Napi::Object error = Napi::Object::New(env);
    error.Set("code", code_name(event.error.code));
    error.Set("message", event.error.message);
    object.Set("error", error);
  }
  object.Set("promptTokens", event.prompt_tokens);
  object.Set("cachedTokens", event.cached_tokens);
  object.Set("draftedTokens", event.drafted_tokens);
  object.Set("acceptedTokens", event.accepted_tokens);
  object.Set("predictedDrafted", event.predicted_drafted);
  object.Set("predictedAccepted", event.predicted_accepted);
  return object;
}

Napi::Object write_report(Napi::Env env, const BenchReport& report) {
  Napi::Array runs = Napi::Array::New(env, report.runs.size());
  for (size_t i = 0; i < report.runs.size(); ++i) {
    const BenchRun& run = report.runs[i];
    Napi::Object object = Napi::Object::New(env);
    object.Set("test", run.test);
    object.Set("batch", run.batch);
    object.Set("depth", run.depth);
    object.Set("drafted", run.drafted);
    object.Set("threads", run.threads);
    object.Set("mode", run.mode);
    object.Set("head", run.head);
    object.Set("busyNeighbour", run.busy_neighbour);
    object.Set("tokensPerSecond", run.tokens_per_s);
    object.Set("bytesPerToken", run.bytes_per_token);
    object.Set("gbPerSecond", run.gb_per_s);
    object.Set("streamGbPerSecond", run.stream_gb_per_s);
    object.Set("ratio", run.ratio);
    Napi::Array samples = Napi::Array::New(env, run.samples.size());
    for (size_t j = 0; j < run.samples.size(); ++j) samples.Set(uint32_t(j), run.samples[j]);
    object.Set("samples", samples);
    runs.Set(uint32_t(i), object);
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("info", write_info(env, report.info));
  object.Set("runs", runs);
  object.Set("loadSeconds", report.load_s);
  object.Set("bestGbPerSecond", report.best_gb_per_s);
  object.Set("rssBytes", double(report.rss_bytes));
  object.Set("weightBytes", double(report.weight_bytes));
  return object;
}

}  // namespace switchyard
