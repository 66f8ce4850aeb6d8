// The one error type of the engine: returned, never thrown.
#pragma once

#include <string>
#include <utility>

namespace switchyard {

enum class Code { ok, invalid_argument, not_found, invalid_file, unsupported, out_of_memory, io_error, cancelled, internal };

struct [[nodiscard]] Status {
  Code code = Code::ok;
  std::string message;

  bool ok() const { return code == Code::ok; }
  static Status error(Code code, std::string message) { return {code, std::move(message)}; }
};

}  // namespace switchyard
