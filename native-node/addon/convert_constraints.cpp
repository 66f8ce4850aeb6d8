#include "convert_constraints.h"

#include <climits>

#include "convert.h"
#include "grammar.h"
#include "tokenizer_wrap.h"

namespace switchyard {
namespace {

Napi::Object read_object(Napi::Env env, const Napi::Value& value, const char* name) {
  if (!value.IsObject()) throw bad_argument(env, std::string(name) + " must be an object");
  return value.As<Napi::Object>();
}

Napi::Array read_array(Napi::Env env, const Napi::Value& value, const char* name) {
  if (!value.IsArray()) throw bad_argument(env, std::string(name) + " must be an array");
  return value.As<Napi::Array>();
}

std::shared_ptr<const Grammar> read_grammar(Napi::Env env, const Napi::Value& value) {
  const Napi::Object object = read_object(env, value, "grammar");
  const Napi::Value sets = object.Get("byteSets");
  if (!sets.IsTypedArray() || sets.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
    throw bad_argument(env, "byteSets must be an Uint8Array");
  const Napi::Uint8Array bytes = sets.As<Napi::Uint8Array>();
  const uint8_t* data = bytes.ElementLength() == 0 ? nullptr : bytes.Data();
  std::shared_ptr<const Grammar> grammar;
  const Status status = Grammar::create(read_ids(env, object.Get("symbols"), "symbols"),
                                        std::vector<uint8_t>(data, data + bytes.ElementLength()), &grammar);
  if (!status.ok()) throw to_error(env, status);
  return grammar;
}

PartConstraint read_part(Napi::Env env, const Napi::Value& value) {
  const Napi::Object object = read_object(env, value, "parts");
  PartConstraint part;
  const Napi::Array words = read_array(env, object.Get("headerWords"), "headerWords");
  for (uint32_t i = 0; i < words.Length(); ++i)
    part.header_words.push_back(read_string(env, words.Get(i), "headerWords"));
  const Napi::Value grammar = object.Get("grammar");
  if (!grammar.IsUndefined()) part.grammar = read_grammar(env, grammar);
  part.end_ids = read_ids(env, object.Get("endIds"), "endIds");
  return part;
}

}  // namespace

Constraints read_constraints(Napi::Env env, const Napi::Value& value) {
  Constraints constraints;
  if (value.IsUndefined() || value.IsNull()) return constraints;
  const Napi::Object object = read_object(env, value, "constraints");
  constraints.tokenizer = TokenizerWrap::read(env, object.Get("tokenizer"), "tokenizer");
  const int64_t content_id = read_integer(env, object.Get("contentId"), "contentId");
  if (content_id < 0 || content_id > INT_MAX) throw bad_argument(env, "contentId is out of range");
  constraints.content_id = int32_t(content_id);
  constraints.part_ids = read_ids(env, object.Get("partIds"), "partIds");
  const Napi::Array parts = read_array(env, object.Get("parts"), "parts");
  for (uint32_t i = 0; i < parts.Length(); ++i) constraints.parts.push_back(read_part(env, parts.Get(i)));
  const Napi::Array headers = read_array(env, object.Get("headers"), "headers");
  for (uint32_t i = 0; i < headers.Length(); ++i) constraints.headers.push_back(read_grammar(env, headers.Get(i)));
  return constraints;
}

}  // namespace switchyard
