// Reads a whole file of bounded size.
#pragma once

#include <cstdint>
#include <string>

#include "status.h"

namespace switchyard {

// What to say of a path where there is no file: not_found, but io_error for a link to one that is gone (a cache of downloads is
// full of links), since then nothing else is to be looked for in its place.
Status missing_file(const std::string& path);

// not_found, io_error, or invalid_file when it holds more than max_bytes. Messages start with the path.
Status read_file(const std::string& path, uint64_t max_bytes, std::string* out);

}  // namespace switchyard
