// Reads a whole file of bounded size.
#pragma once

#include <cstdint>
#include <string>

#include "status.h"

namespace switchyard {

// not_found, io_error, or invalid_file when it holds more than max_bytes. Messages start with the path.
Status read_file(const std::string& path, uint64_t max_bytes, std::string* out);

}  // namespace switchyard
