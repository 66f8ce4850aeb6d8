// The addon's exports, as server/binding.ts types them: loading, and what runs without an engine object. No maths here.
#include <napi.h>

#include <cstring>
#include <map>
#include <memory>

#include "addon_data.h"
#include "convert.h"
#include "engine.h"
#include "engine_wrap.h"
#include "promise_worker.h"
#include "tokenizer_wrap.h"

namespace switchyard {
namespace {

Napi::Value load_engine(const Napi::CallbackInfo& info) {
  const EngineOptions options = read_engine_options(info.Env(), info[0]);
  const auto progress = std::make_shared<ProgressCallback>(info.Env(), info[1]);
  return PromiseWorker<std::unique_ptr<Engine>>::start(
      info.Env(), progress,
      [options, progress](std::unique_ptr<Engine>* engine) {
        return Engine::load(options, std::ref(*progress), engine);
      },
      [](Napi::Env env, std::unique_ptr<Engine>& engine) -> Napi::Value {
        return EngineWrap::create(env, std::move(engine));
      });
}

using TokenizerPtr = std::unique_ptr<Tokenizer>;

Napi::Value resolve_tokenizer(Napi::Env env, TokenizerPtr& tokenizer) {
  return TokenizerWrap::create(env, std::shared_ptr<const Tokenizer>(std::move(tokenizer)));
}

Napi::Value load_tokenizer(const Napi::CallbackInfo& info) {
  return PromiseWorker<TokenizerPtr>::start(
      info.Env(), nullptr,
      [path = read_string(info.Env(), info[0], "tokenizerJson")](TokenizerPtr* tokenizer) {
        return Tokenizer::load(path, tokenizer);
      },
      resolve_tokenizer);
}

Napi::Value load_gguf_tokenizer(const Napi::CallbackInfo& info) {
  return PromiseWorker<TokenizerPtr>::start(
      info.Env(), nullptr,
      [path = read_string(info.Env(), info[0], "file")](TokenizerPtr* tokenizer) {
        return Tokenizer::load_gguf(path, tokenizer);
      },
      resolve_tokenizer);
}

Napi::Value load_tiktoken(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string path = read_string(env, info[0], "ranksFile");
  if (!info[1].IsObject()) throw bad_argument(env, "specials must be an object of ids by name");
  const Napi::Object object = info[1].As<Napi::Object>();
  const Napi::Array names = object.GetPropertyNames();
  std::map<std::string, int32_t> specials;
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const Napi::Value name = names.Get(i);
    const int64_t id = read_integer(env, object.Get(name), "specials id");
    if (id < 0 || id > INT32_MAX) throw bad_argument(env, "specials id is out of range");
    specials.emplace(name.ToString().Utf8Value(), int32_t(id));
  }
  return PromiseWorker<TokenizerPtr>::start(
      env, nullptr,
      [path, specials](TokenizerPtr* tokenizer) { return Tokenizer::load_tiktoken(path, specials, tokenizer); },
      resolve_tokenizer);
}

struct Logits {
  std::vector<float> data;
  size_t rows = 0, columns = 0;
};

// The array takes the memory over: no second copy, and no failing allocation inside V8, which would end the process.
Napi::Value resolve_logits(Napi::Env env, Logits& logits) {
  auto* data = new std::vector<float>(std::move(logits.data));
  const size_t count = data->size();
  const Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(
      env, data->data(), count * sizeof(float), [](Napi::BasicEnv, void*, std::vector<float>* owned) { delete owned; },
      data);
  Napi::Object object = Napi::Object::New(env);
  object.Set("data", Napi::Float32Array::New(env, count, buffer, 0));
  object.Set("rows", double(logits.rows));
  object.Set("columns", double(logits.columns));
  return object;
}

Napi::Value logits(const Napi::CallbackInfo& info) {
  EngineOptions options = read_engine_options(info.Env(), info[0]);
  const std::vector<int32_t> ids = read_ids(info.Env(), info[1], "ids");
  const int64_t prefill = read_integer(info.Env(), info[2], "prefill");
  if (prefill < 0) throw bad_argument(info.Env(), "prefill must not be negative");
  return PromiseWorker<Logits>::start(
      info.Env(), nullptr,
      [options, ids, prefill](Logits* result) {
        std::unique_ptr<Engine> engine;
        if (Status status = Engine::load(options, {}, &engine); !status.ok()) return status;
        result->rows = ids.size();
        result->columns = size_t(engine->info().vocab_size);
        return engine->logits(ids, size_t(prefill), &result->data);
      },
      resolve_logits);
}

Napi::Value run_bench(const Napi::CallbackInfo& info) {
  const BenchOptions options = read_bench_options(info.Env(), info[0]);
  const auto progress = std::make_shared<ProgressCallback>(info.Env(), info[1]);
  return PromiseWorker<BenchReport>::start(
      info.Env(), progress,
      [options, progress](BenchReport* report) { return bench(options, std::ref(*progress), report); },
      [](Napi::Env env, BenchReport& report) -> Napi::Value { return write_report(env, report); });
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  EventChannel::stop_at_exit();
  auto* data = new AddonData{EngineWrap::define(env), TokenizerWrap::define(env)};
  env.SetInstanceData(data);
  exports.Set("loadEngine", Napi::Function::New<load_engine>(env, "loadEngine"));
  exports.Set("loadTokenizer", Napi::Function::New<load_tokenizer>(env, "loadTokenizer"));
  exports.Set("loadGgufTokenizer", Napi::Function::New<load_gguf_tokenizer>(env, "loadGgufTokenizer"));
  exports.Set("loadTiktoken", Napi::Function::New<load_tiktoken>(env, "loadTiktoken"));
  exports.Set("logits", Napi::Function::New<logits>(env, "logits"));
  exports.Set("bench", Napi::Function::New<run_bench>(env, "bench"));
  return exports;
}

}  // namespace
}  // namespace switchyard

static Napi::Object init_switchyard(Napi::Env env, Napi::Object exports) { return switchyard::init(env, exports); }
NODE_API_MODULE(switchyard, init_switchyard)
