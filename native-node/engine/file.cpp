#include "file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace switchyard {
namespace {

int64_t time_of(const struct stat& info) {
#ifdef __APPLE__
  return int64_t(info.st_mtimespec.tv_sec) * 1'000'000'000 + info.st_mtimespec.tv_nsec;
#else
  return int64_t(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec;
#endif
}

// not_found, but io_error for a link to a file that is gone (a cache of downloads is full of links), since then nothing else is to
// be looked for in its place.
Status missing_file(const std::string& path) {
  std::error_code error;
  const std::filesystem::path target = std::filesystem::read_symlink(path, error);
  if (error) return Status::error(Code::not_found, path + ": no such file");
  return Status::error(Code::io_error, path + ": a link to " + target.string() + ", which is not there");
}

Status failed(const std::string& path, const std::string& what) {
  return Status::error(Code::io_error, path + ": " + what);
}

}  // namespace

Status File::open(const std::string& path, std::unique_ptr<File>* out) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe in its place must not hang us
  if (fd < 0) return errno == ENOENT || errno == ENOTDIR ? missing_file(path) : failed(path, std::strerror(errno));
  std::unique_ptr<File> file(new File(path, fd));
  if (Status status = file->look(); !status.ok()) return status;
  *out = std::move(file);
  return {};
}

Status File::look() {
  struct stat info{};
  if (fstat(fd_, &info) != 0) return failed(path_, std::strerror(errno));
  if (!S_ISREG(info.st_mode)) return failed(path_, "not a regular file");
  size_ = uint64_t(info.st_size);
  modified_ = time_of(info);
  const int flags = fcntl(fd_, F_GETFL);
  if (flags < 0 || fcntl(fd_, F_SETFL, flags & ~O_NONBLOCK) != 0) return failed(path_, std::strerror(errno));
  return {};
}

File::~File() { ::close(fd_); }

bool File::has_changed() const {
  struct stat info{};
  return fstat(fd_, &info) != 0 || uint64_t(info.st_size) != size_ || time_of(info) != modified_;
}

ReadError File::read(uint64_t offset, size_t bytes, void* to) const noexcept {
  uint8_t* at = static_cast<uint8_t*>(to);
  while (bytes > 0) {
    const ssize_t got = pread(fd_, at, bytes, off_t(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return {this, got < 0 ? errno : 0, offset};
    at += got;
    offset += uint64_t(got);
    bytes -= size_t(got);
  }
  return {};
}

Status read_failed(const ReadError& error) {
  const File& file = *error.file;
  const std::string place = std::to_string(error.at);
  if (error.error != 0) return failed(file.path(), std::string(std::strerror(error.error)) + ", at byte " + place);
  return failed(file.path(), "ended at byte " + place + ", it had " + std::to_string(file.size()) +
                                 " when it was opened (is it being written?)");
}

}  // namespace switchyard
