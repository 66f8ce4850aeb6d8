#include "tokenizer_wrap.h"

#include <cstring>

#include "addon_data.h"
#include "convert.h"
#include "promise_worker.h"

namespace switchyard {
namespace {

// UTF-8 of a string, or the bytes of an Uint8Array as they are.
std::string read_text(Napi::Env env, const Napi::Value& value) {
  if (value.IsString()) return value.As<Napi::String>().Utf8Value();
  if (value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array) {
    const Napi::Uint8Array bytes = value.As<Napi::Uint8Array>();
    return bytes.ElementLength() == 0 ? std::string()
                                      : std::string(reinterpret_cast<const char*>(bytes.Data()), bytes.ElementLength());
  }
  throw bad_argument(env, "text must be a string or an Uint8Array");
}

}  // namespace

Napi::FunctionReference TokenizerWrap::define(Napi::Env env) {
  return Napi::Persistent(DefineClass(env, "NativeTokenizer",
                                      {
                                          InstanceAccessor<&TokenizerWrap::vocab_size>("vocabSize"),
                                          InstanceMethod<&TokenizerWrap::encode>("encode"),
                                          InstanceMethod<&TokenizerWrap::encode_async>("encodeAsync"),
                                          InstanceMethod<&TokenizerWrap::decode>("decode"),
                                          InstanceMethod<&TokenizerWrap::is_special>("isSpecial"),
                                          InstanceMethod<&TokenizerWrap::special_id>("specialId"),
                                          InstanceMethod<&TokenizerWrap::specials>("specials"),
                                          InstanceMethod<&TokenizerWrap::eos_ids>("eosIds"),
                                      }));
}

Napi::Object TokenizerWrap::create(Napi::Env env, std::shared_ptr<const Tokenizer> tokenizer) {
  return env.GetInstanceData<AddonData>()->tokenizer_class.New(
      {Napi::External<std::shared_ptr<const Tokenizer>>::New(env, &tokenizer)});
}

std::shared_ptr<const Tokenizer> TokenizerWrap::read(Napi::Env env, const Napi::Value& value, const char* name) {
  const Napi::Function tokenizer_class = env.GetInstanceData<AddonData>()->tokenizer_class.Value();
  if (!value.IsObject() || !value.As<Napi::Object>().InstanceOf(tokenizer_class))
    throw bad_argument(env, std::string(name) + " must be a tokenizer");
  return Unwrap(value.As<Napi::Object>())->tokenizer_;
}

TokenizerWrap::TokenizerWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<TokenizerWrap>(info) {
  if (info.Length() != 1 || !info[0].IsExternal()) throw bad_argument(info.Env(), "use loadTokenizer, loadGgufTokenizer or loadTiktoken");
  tokenizer_ = *info[0].As<Napi::External<std::shared_ptr<const Tokenizer>>>().Data();
}

Napi::Value TokenizerWrap::vocab_size(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), tokenizer_->vocab_size());
}

Napi::Value TokenizerWrap::encode(const Napi::CallbackInfo& info) {
  std::vector<int32_t> ids;
  tokenizer_->encode(read_text(info.Env(), info[0]), &ids);
  return write_ids(info.Env(), ids);
}

Napi::Value TokenizerWrap::encode_async(const Napi::CallbackInfo& info) {
  return PromiseWorker<std::vector<int32_t>>::start(
      info.Env(), nullptr,
      [tokenizer = tokenizer_, text = read_text(info.Env(), info[0])](std::vector<int32_t>* ids) {
        tokenizer->encode(text, ids);
        return Status{};
      },
      [](Napi::Env env, std::vector<int32_t>& ids) -> Napi::Value { return write_ids(env, ids); });
}

Napi::Value TokenizerWrap::decode(const Napi::CallbackInfo& info) {
  std::string bytes;
  for (const int32_t id : read_ids(info.Env(), info[0], "ids")) {
    if (id < 0 || id >= tokenizer_->vocab_size()) {
      throw to_error(info.Env(), Status::error(Code::invalid_argument, "id " + std::to_string(id) +
                                                                           " is outside the vocabulary of " +
                                                                           std::to_string(tokenizer_->vocab_size())));
    }
    bytes += tokenizer_->token_bytes(id);
  }
  Napi::Uint8Array array = Napi::Uint8Array::New(info.Env(), bytes.size());
  if (!bytes.empty()) std::memcpy(array.Data(), bytes.data(), bytes.size());
  return array;
}

Napi::Value TokenizerWrap::is_special(const Napi::CallbackInfo& info) {
  const int64_t id = read_integer(info.Env(), info[0], "id");
  return Napi::Boolean::New(info.Env(),
                            id >= 0 && id < tokenizer_->vocab_size() && tokenizer_->is_special(int32_t(id)));
}

Napi::Value TokenizerWrap::special_id(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), tokenizer_->special_id(read_string(info.Env(), info[0], "name")));
}

Napi::Value TokenizerWrap::specials(const Napi::CallbackInfo& info) {
  Napi::Object object = Napi::Object::New(info.Env());
  for (const auto& [name, id] : tokenizer_->specials()) object.Set(name, id);
  return object;
}

Napi::Value TokenizerWrap::eos_ids(const Napi::CallbackInfo& info) { return write_ids(info.Env(), tokenizer_->eos_ids()); }

}  // namespace switchyard
