// Layout: Header; at kSumsAt a checksum for each block of kBlock bytes, image after image; then the images, each at a multiple of
// kAlign. The size of the file follows from the header, and must be just that. Numbers are the machine's own: on one of the
// other byte order the magic number is wrong.
#include "weight_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "checksum.h"

namespace switchyard {
namespace {

constexpr uint64_t kMagic = 0x31746877796e7773;  // "swnywht1"
constexpr uint64_t kVersion = 1;                 // of this layout and of what packing makes
constexpr size_t kBlock = size_t(256) << 10;     // checked at once, while it lies in the core's own cache
constexpr size_t kPiece = size_t(4) << 20;       // bytes between two looks at the queue and reports of progress
constexpr size_t kAlign = 4096, kSumsAt = kAlign;
constexpr uint64_t kMostBytes = uint64_t(1) << 44;  // of an image: sizes below cannot overflow

struct Header {
  uint64_t magic, version, source, plan;
  uint64_t bytes[WeightFile::kImages];
  uint64_t sums;   // checksum of the blocks' checksums
  uint64_t check;  // of all of the above
};
static_assert(sizeof(Header) <= kSumsAt);

uint64_t check_of(const Header& header) { return checksum(&header, offsetof(Header, check), kMagic); }

size_t blocks_of(uint64_t bytes) { return (bytes + kBlock - 1) / kBlock; }
uint64_t aligned(uint64_t at) { return (at + kAlign - 1) / kAlign * kAlign; }

// Where an image begins; that of kImages is the file's end.
uint64_t offset_of(const uint64_t* bytes, size_t image) {
  size_t blocks = 0;
  for (size_t i = 0; i < WeightFile::kImages; ++i) blocks += blocks_of(bytes[i]);
  uint64_t at = aligned(kSumsAt + blocks * sizeof(uint64_t));
  for (size_t i = 0; i < image; ++i) at += aligned(bytes[i]);
  return at;
}

// An errno, else 0.
int write_at(int fd, uint64_t offset, size_t bytes, const void* from) {
  const uint8_t* at = static_cast<const uint8_t*>(from);
  while (bytes > 0) {
    const ssize_t put = pwrite(fd, at, bytes, off_t(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return put < 0 ? errno : EIO;
    at += put, offset += uint64_t(put), bytes -= size_t(put);
  }
  return 0;
}

Status invalid(const char* what) { return Status::error(Code::invalid_file, what); }
Status failed(int error) {
  return Status::error(Code::io_error, error == EBUSY ? "another process writes it" : std::strerror(error));
}

// The file that is written, under a name of its own until it is whole. One that a killed process left is taken over.
class PartialFile {
 public:
  explicit PartialFile(const std::string& path) : path_(path), part_(path + ".part") {}
  ~PartialFile() {
    if (owned_) unlink(part_.c_str());
    if (fd_ >= 0) ::close(fd_);  // and with it goes the lock
  }

  int fd() const { return fd_; }

  int open(uint64_t bytes) {
    fd_ = ::open(part_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    if (fd_ < 0) return errno;
    if (flock(fd_, LOCK_EX | LOCK_NB) != 0) return errno == EWOULDBLOCK ? EBUSY : errno;
    // Another writer may have renamed what was opened here, before it was locked.
    struct stat opened{}, named{};
    if (fstat(fd_, &opened) != 0) return errno;
    if (!S_ISREG(opened.st_mode)) return EEXIST;
    if (lstat(part_.c_str(), &named) != 0 || named.st_ino != opened.st_ino || named.st_dev != opened.st_dev) return EBUSY;
    if (opened.st_nlink != 1) return EMLINK;  // somebody's file, which it has under another name as well
    owned_ = true;
    // A write beyond this limit would end the process.
    rlimit limit{};
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && bytes > limit.rlim_cur) return EFBIG;
    if (ftruncate(fd_, 0) != 0) return errno;
#ifdef __linux__
    // A disk that is too small says so now. Not all file systems can.
    if (fallocate(fd_, 0, 0, off_t(bytes)) != 0 && errno != EOPNOTSUPP && errno != ENOSYS && errno != EINTR) return errno;
#endif
    return 0;
  }

  // The content is on the disk before the name points to it.
  int finish() {
    if (fsync(fd_) != 0) return errno;
    if (rename(part_.c_str(), path_.c_str()) != 0) return errno;
    owned_ = false;
    const size_t slash = path_.rfind('/');
    const int folder = ::open(slash == std::string::npos ? "." : path_.substr(0, slash + 1).c_str(), O_RDONLY | O_CLOEXEC);
    if (folder >= 0) {
      fsync(folder);  // else the name may be gone after a power failure, and is made again
      ::close(folder);
    }
    return 0;
  }

 private:
  std::string path_, part_;
  int fd_ = -1;
  bool owned_ = false;
};

// Lets the disk begin with what has been written, so that the end need not wait for all of it.
void write_behind(int fd, uint64_t offset, size_t bytes) {
#ifdef __linux__
  sync_file_range(fd, off_t(offset), off_t(bytes), SYNC_FILE_RANGE_WRITE);
#endif
}

}  // namespace

Status WeightFile::open(const std::string& path, const WeightFileKey& key, std::unique_ptr<WeightFile>* out) {
  std::unique_ptr<File> opened;
  if (Status status = File::open(path, &opened); !status.ok())
    return status.code == Code::not_found ? Status::error(Code::not_found, "there was none") : status;
  std::unique_ptr<WeightFile> file(new WeightFile(std::move(opened)));
  if (Status status = file->read_header(key); !status.ok()) return status;
  *out = std::move(file);
  return {};
}

Status WeightFile::read_header(const WeightFileKey& key) {
  const uint64_t size = file_->size();
  Header header{};
  if (size < sizeof header) return invalid("the old one was cut short");
  if (const ReadError error = file_->read(0, sizeof header, &header)) return read_failed(error);
  if (header.magic != kMagic || header.check != check_of(header)) return invalid("the old one was damaged");
  if (header.version != kVersion) return invalid("the old one was of another version");
  if (header.source != key.source) return invalid("the old one was of other weights");
  if (header.plan != key.plan) return invalid("the old one was of another layout");
  if (std::any_of(header.bytes, header.bytes + kImages, [&](uint64_t bytes) { return bytes > kMostBytes; }))
    return invalid("the old one was damaged");
  // Nothing is allocated by a number of the file before the file is known to be as large.
  if (size != offset_of(header.bytes, kImages)) return invalid("the old one was cut short");
  size_t blocks = 0;
  for (size_t i = 0; i < kImages; ++i) {
    bytes_[i] = header.bytes[i];
    blocks += blocks_of(bytes_[i]);
  }
  sums_.resize(blocks);
  if (const ReadError error = file_->read(kSumsAt, blocks * sizeof(uint64_t), sums_.data())) return read_failed(error);
  if (checksum(sums_.data(), blocks * sizeof(uint64_t)) != header.sums) return invalid("the old one was damaged");
  return {};
}

// False where a sum is wrong, or after an error.
bool WeightFile::read_piece(uint64_t offset, size_t bytes, const uint64_t* sums, uint8_t* to, FirstReadError* failure) const {
  for (size_t at = 0; at < bytes; at += kBlock, ++sums) {
    const size_t block = std::min(kBlock, bytes - at);
    if (failure->keep(file_->read(offset + at, block, to + at))) return false;
    if (checksum(to + at, block) != *sums) return false;
  }
  return true;
}

Status WeightFile::read(size_t image, ThreadPool* pool, const Progress& progress, uint8_t* to) const {
  uint64_t bytes[kImages];
  std::copy(bytes_.begin(), bytes_.end(), bytes);
  const uint64_t offset = offset_of(bytes, image);
  const uint64_t* sums = sums_.data();
  for (size_t i = 0; i < image; ++i) sums += blocks_of(bytes_[i]);
  const size_t size = bytes_[image], pieces = (size + kPiece - 1) / kPiece;
  FirstReadError failure;
  std::atomic<bool> is_whole{true};
  std::mutex report;
  size_t done = 0;
  pool->parallel_for(pieces, 1, [&](size_t begin, size_t end, int) {
    for (size_t i = begin; i < end && is_whole; ++i) {
      const size_t at = i * kPiece;
      if (!read_piece(offset + at, std::min(kPiece, size - at), sums + at / kBlock, to + at, &failure)) is_whole = false;
      const std::lock_guard lock(report);
      ++done;
      if (progress) progress(double(done) / double(pieces));
    }
  });
  if (failure.is_set()) return failure.status();
  return is_whole ? Status() : invalid("the old one was damaged");
}

Status WeightFile::write(const std::string& path, const WeightFileKey& key, const std::array<MemoryImage, kImages>& images,
                         const Progress& progress) {
  Header header{kMagic, kVersion, key.source, key.plan, {}, 0, 0};
  size_t blocks = 0;
  uint64_t total = 0, written = 0;
  for (size_t i = 0; i < kImages; ++i) {
    header.bytes[i] = images[i].bytes;
    blocks += blocks_of(images[i].bytes);
    total += images[i].bytes;
  }
  std::vector<uint64_t> sums;
  sums.reserve(blocks);
  PartialFile file(path);
  const uint64_t end = offset_of(header.bytes, kImages);
  if (const int error = file.open(end)) return failed(error);
  for (size_t i = 0; i < kImages; ++i) {
    const uint64_t offset = offset_of(header.bytes, i);
    for (size_t at = 0; at < images[i].bytes; at += kBlock) {
      const size_t bytes = std::min(kBlock, images[i].bytes - at);
      sums.push_back(checksum(images[i].data + at, bytes));
      if (const int error = write_at(file.fd(), offset + at, bytes, images[i].data + at)) return failed(error);
      written += bytes;
      if (written % kPiece != 0) continue;
      write_behind(file.fd(), offset + at + bytes - kPiece, kPiece);
      if (progress) progress(double(written) / double(total));
    }
  }
  header.sums = checksum(sums.data(), blocks * sizeof(uint64_t));
  header.check = check_of(header);
  int error = write_at(file.fd(), kSumsAt, blocks * sizeof(uint64_t), sums.data());
  if (error == 0) error = write_at(file.fd(), 0, sizeof header, &header);
  if (error == 0 && ftruncate(file.fd(), off_t(end)) != 0) error = errno;
  if (error == 0) error = file.finish();
  return error == 0 ? Status() : failed(error);
}

}  // namespace switchyard
