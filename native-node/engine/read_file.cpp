#include "read_file.h"

#include <filesystem>
#include <fstream>
#include <new>
#include <stdexcept>
#include <system_error>

namespace switchyard {

Status missing_file(const std::string& path) {
  std::error_code error;
  const std::filesystem::path target = std::filesystem::read_symlink(path, error);
  if (error) return Status::error(Code::not_found, path + ": no such file");
  return Status::error(Code::io_error, path + ": a link to " + target.string() + ", which is not there");
}

Status read_file(const std::string& path, uint64_t max_bytes, std::string* out) {
  std::error_code error;
  const std::filesystem::file_status kind = std::filesystem::status(path, error);
  if (kind.type() == std::filesystem::file_type::not_found) {
    return missing_file(path);
  }
  if (kind.type() != std::filesystem::file_type::regular) {
    return Status::error(Code::io_error, path + ": " + (error ? error.message() : "not a regular file"));
  }
  const uint64_t size = std::filesystem::file_size(path, error);
  if (error) return Status::error(Code::io_error, path + ": " + error.message());
  if (size > max_bytes) {
    return Status::error(Code::invalid_file, path + ": " + std::to_string(size) + " bytes, at most " +
                                                 std::to_string(max_bytes) + " are read");
  }
  try {
    out->resize(size);
  } catch (const std::exception&) {  // bad_alloc or length_error
    return Status::error(Code::out_of_memory, path + ": no memory for " + std::to_string(size) + " bytes");
  }
  std::ifstream file(path, std::ios::binary);
  if (!file.read(out->data(), static_cast<std::streamsize>(size))) {
    return Status::error(Code::io_error, path + ": cannot be read");
  }
  return {};
}

}  // namespace switchyard
