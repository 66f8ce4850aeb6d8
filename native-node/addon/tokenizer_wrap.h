// NativeTokenizer of server/binding.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "tokenizer.h"

namespace switchyard {

class TokenizerWrap final : public Napi::ObjectWrap<TokenizerWrap> {
 public:
  static Napi::FunctionReference define(Napi::Env env);
  static Napi::Object create(Napi::Env env, std::shared_ptr<const Tokenizer> tokenizer);

  // The tokenizer behind what loadTokenizer gave; throws for any other value.
  static std::shared_ptr<const Tokenizer> read(Napi::Env env, const Napi::Value& value, const char* name);

  explicit TokenizerWrap(const Napi::CallbackInfo& info);  // throws unless called by create

 private:
  Napi::Value vocab_size(const Napi::CallbackInfo& info);
  Napi::Value encode(const Napi::CallbackInfo& info);
  Napi::Value encode_async(const Napi::CallbackInfo& info);
  Napi::Value decode(const Napi::CallbackInfo& info);
  Napi::Value is_special(const Napi::CallbackInfo& info);
  Napi::Value special_id(const Napi::CallbackInfo& info);
  Napi::Value specials(const Napi::CallbackInfo& info);
  Napi::Value eos_ids(const Napi::CallbackInfo& info);

  std::shared_ptr<const Tokenizer> tokenizer_;
};

}  // namespace switchyard
