// The one error type of the engine: returned, never thrown.
#pragma once

#include <string>
#include <utility>

namespace switchyard {

enum class Code { ok, invalid_argument, not_found, invalid_file, unsupported, out_of_memory, io_error, cancelled, internal };

inline const char* code_name(Code code) {
  switch (code) {
    case Code::ok: return "ok";
    case Code::invalid_argument: return "invalid_argument";
    case Code::not_found: return "not_found";
    case Code::invalid_file: return "invalid_file";
    case Code::unsupported: return "unsupported";
    case Code::out_of_memory: return "out_of_memory";
    case Code::io_error: return "io_error";
    case Code::cancelled: return "cancelled";
    case Code::internal: break;
  }
  return "internal";
}

struct [[nodiscard]] Status {
  Code code = Code::ok;
  std::string message;

  bool ok() const { return code == Code::ok; }
  static Status error(Code code, std::string message) { return {code, std::move(message)}; }
};

}  // namespace switchyard
