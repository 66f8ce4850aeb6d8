// JavaScript values to the engine's structs and back. Arguments are checked here as far as memory safety and honest
// types go (TypeError, code invalid_argument); the engine checks what they mean.
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

#include "engine.h"

namespace switchyard {

Napi::Error to_error(Napi::Env env, const Status& status);             // a JS Error with `.code`
Napi::TypeError bad_argument(Napi::Env env, const std::string& what);  // to be thrown

EngineOptions read_engine_options(Napi::Env env, const Napi::Value& value);
BenchOptions read_bench_options(Napi::Env env, const Napi::Value& value);
GenerateRequest read_request(Napi::Env env, const Napi::Value& value);
std::vector<int32_t> read_ids(Napi::Env env, const Napi::Value& value, const char* name);
std::string read_string(Napi::Env env, const Napi::Value& value, const char* name);
int64_t read_integer(Napi::Env env, const Napi::Value& value, const char* name);

Napi::Int32Array write_ids(Napi::Env env, const std::vector<int32_t>& ids);
Napi::Object write_info(Napi::Env env, const EngineInfo& info);
Napi::Object write_stats(Napi::Env env, const EngineStats& stats);
Napi::Object write_event(Napi::Env env, const TokenEvent& event);
Napi::Object write_report(Napi::Env env, const BenchReport& report);

}  // namespace switchyard
