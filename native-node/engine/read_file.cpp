#include "read_file.h"

#include <exception>
#include <memory>

#include "file.h"

namespace switchyard {

Status read_file(const std::string& path, uint64_t max_bytes, std::string* out) {
  std::unique_ptr<File> file;
  if (Status status = File::open(path, &file); !status.ok()) return status;
  if (file->size() > max_bytes) {
    return Status::error(Code::invalid_file, path + ": " + std::to_string(file->size()) + " bytes, at most " +
                                                 std::to_string(max_bytes) + " are read");
  }
  try {
    out->resize(file->size());
  } catch (const std::exception&) {  // bad_alloc or length_error
    return Status::error(Code::out_of_memory, path + ": no memory for " + std::to_string(file->size()) + " bytes");
  }
  const ReadError error = file->read(0, out->size(), out->data());
  return error ? read_failed(error) : Status();
}

}  // namespace switchyard
