#include "resident.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>

#include "checksum.h"
#include "memory.h"
#include "ops/i8_tiles.h"
#include "ops/mxfp4_tiles.h"
#include "ops/ops.h"

namespace switchyard {
namespace {

constexpr size_t kHugePage = size_t(2) << 20;
constexpr size_t kPiece = size_t(4) << 20;   // bytes between two looks at the queue and reports of progress
constexpr size_t kSpare = size_t(256) << 20;  // of memory that stays free for everything else
constexpr size_t kSample = 4096;             // bytes of a copy that a spot check looks at
constexpr size_t kAlign = 64;                // a cache line, and a vector of AVX-512

size_t page_size() { return size_t(sysconf(_SC_PAGESIZE)); }

// The file's pages that lie wholly inside are given back; they stay in the page cache.
void forget(const void* data, size_t bytes) {
  const uintptr_t page = page_size(), at = reinterpret_cast<uintptr_t>(data);
  const uintptr_t begin = (at + page - 1) / page * page, end = (at + bytes) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

std::string gigabytes(size_t bytes) { return std::to_string((bytes + 99'999'999) / 100'000'000 / 10.0).substr(0, 5); }

}  // namespace

HugeMemory::~HugeMemory() {
  if (mapped_) munmap(mapped_, mapped_bytes_);
}

Status HugeMemory::allocate(size_t bytes) {
  bytes_ = bytes;
  mapped_bytes_ = bytes + kHugePage;
  void* memory = mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return Status::error(Code::out_of_memory, "cannot get " + gigabytes(bytes) + " GB for the weights");
  mapped_ = static_cast<uint8_t*>(memory);
  data_ = mapped_ + (kHugePage - reinterpret_cast<uintptr_t>(mapped_) % kHugePage) % kHugePage;
#ifdef MADV_HUGEPAGE
  madvise(data_, bytes, MADV_HUGEPAGE);  // may be refused: then the pages are small
#endif
  return {};
}

int populate(const void* data, size_t bytes) {
  const uintptr_t page = page_size(), at = reinterpret_cast<uintptr_t>(data);
  void* begin = reinterpret_cast<void*>(at / page * page);
  const size_t length = at % page + bytes;
#ifdef MADV_POPULATE_READ
  if (madvise(begin, length, MADV_POPULATE_READ) == 0) return 0;
  if (errno == EFAULT || errno == EIO) return errno;
#endif
  madvise(begin, length, MADV_WILLNEED);  // an older kernel: only a hint
  return 0;
}

Status read_failed(int error) {
  return Status::error(Code::io_error, std::string("reading the weights failed: ") + std::strerror(error));
}

size_t Relocation::place(size_t bytes) {
  const size_t at = bytes_;
  bytes_ += (bytes + kAlign - 1) / kAlign * kAlign;
  return at;
}

void Relocation::copy(const void* from, size_t bytes, std::function<void(const void* to)> moved) {
  const auto told = [moved = std::move(moved)](const uint8_t* to, const uint8_t*) { moved(to); };
  const uint8_t* source = static_cast<const uint8_t*>(from);
  moves_.push_back({source, nullptr, bytes, 0, 0, false, false, true, place(bytes), 0, told});
  sources_[source] = bytes;
}

void Relocation::mxfp4(const uint8_t* blocks, const uint8_t* scales, size_t rows, size_t row_blocks, bool tiled,
                       std::function<void(const uint8_t* blocks, const uint8_t* scales)> moved) {
  const size_t stored = tiled ? mxfp4_tile_rows(rows) * kMxfp4TileRows : rows;
  const size_t to = place(stored * row_blocks * kMxfp4BlockBytes), to_scales = place(stored * row_blocks);
  const size_t bytes = rows * row_blocks * kMxfp4BlockBytes;
  moves_.push_back({blocks, scales, bytes, rows, row_blocks, tiled, false, true, to, to_scales, std::move(moved)});
  sources_[blocks] = bytes;
  sources_[scales] = rows * row_blocks;
}

void Relocation::int8(const uint16_t* from, size_t rows, size_t row_blocks, bool mapped,
                      std::function<void(const uint8_t* tiles, const uint8_t* scales)> moved) {
  const size_t tiles = mxfp4_tile_rows(rows) * row_blocks, bytes = rows * row_blocks * kMxfp4Block * sizeof(uint16_t);
  const size_t to = place(tiles * kI8TileBytes), to_scales = place(tiles * kMxfp4TileRows * sizeof(uint16_t));
  const uint8_t* source = reinterpret_cast<const uint8_t*>(from);
  moves_.push_back({source, nullptr, bytes, rows, row_blocks, true, true, mapped, to, to_scales, std::move(moved)});
  sources_[source] = bytes;
}

bool Relocation::has_moved(const void* data, size_t bytes) const {
  const uint8_t* begin = static_cast<const uint8_t*>(data);
  const auto source = sources_.lower_bound(begin);
  return source != sources_.end() && source->first < begin + bytes;
}

std::vector<Relocation::Piece> Relocation::pieces() const {
  std::vector<Piece> pieces;
  for (const Move& move : moves_) {
    const size_t block = move.int8 ? kMxfp4Block * sizeof(uint16_t) : kMxfp4BlockBytes;
    const size_t tile_row = kMxfp4TileRows * move.row_blocks * block;
    const size_t end = move.tiled ? mxfp4_tile_rows(move.rows) : move.bytes;
    const size_t step = move.tiled ? std::max<size_t>(kPiece / std::max<size_t>(tile_row, 1), 1) : kPiece;
    for (size_t at = 0; at < end; at += step) pieces.push_back({&move, at, std::min(end, at + step)});
  }
  return pieces;
}

Status Relocation::allocate(HugeMemory* memory) const {
  if (moves_.empty()) return {};
  const int64_t available = available_memory();
  if (int64_t(bytes_ + kSpare) > available) {
    return Status::error(Code::out_of_memory, "the weights need " + gigabytes(bytes_) + " GB of memory, " +
                                                  gigabytes(size_t(std::max<int64_t>(available, 0))) +
                                                  " GB are available (mode bf16 can read them from the file, slowly)");
  }
  return memory->allocate(bytes_);
}

Status Relocation::run(ThreadPool* pool, const Progress& progress, const HugeMemory& memory) {
  const std::vector<Piece> pieces = this->pieces();
  std::atomic<int> failure{0};
  size_t done = 0;
  std::mutex report;
  pool->parallel_for(pieces.size(), 1, [&](size_t begin, size_t end, int) {
    for (size_t i = begin; i < end; ++i) {
      const Target target = target_of(pieces[i]);
      const int error = run_piece(pieces[i], memory.data() + target.at, memory.data() + target.scales_at);
      if (error != 0) failure = error;
      const std::lock_guard lock(report);
      ++done;
      if (progress) progress(double(done) / double(pieces.size()));
    }
  });
  if (failure != 0) return read_failed(failure);
  if (bad_scale_) return Status::error(Code::invalid_file, "a scale is 255 (not a number)");
  return {};
}

void Relocation::finish(const HugeMemory& memory) const {
  for (const Move& move : moves_) move.moved(memory.data() + move.to, memory.data() + move.to_scales);
}

uint64_t Relocation::plan(const std::function<uint64_t(const void* at)>& place_of) const {
  uint64_t sum = bytes_;
  for (const Move& move : moves_) {
    const uint64_t kind = uint64_t(move.tiled) | uint64_t(move.int8) << 1 | uint64_t(move.scales != nullptr) << 2;
    const uint64_t numbers[] = {kind,    place_of(move.from), place_of(move.scales), move.bytes, move.rows, move.row_blocks,
                                move.to, move.to_scales};
    sum = checksum(numbers, sizeof numbers, sum);
  }
  return sum;
}

Relocation::Target Relocation::target_of(const Piece& piece) {
  const Move& move = *piece.move;
  if (!move.tiled) {
    const size_t scale_bytes = piece.begin == 0 && move.scales ? move.rows * move.row_blocks : 0;
    return {move.to + piece.begin, piece.end - piece.begin, move.to_scales, scale_bytes};
  }
  const size_t tile = piece.begin * move.row_blocks, tiles = (piece.end - piece.begin) * move.row_blocks;
  const size_t tile_bytes = move.int8 ? kI8TileBytes : kMxfp4TileBytes;
  const size_t scale_bytes = kMxfp4TileRows * (move.int8 ? sizeof(uint16_t) : 1);
  return {move.to + tile * tile_bytes, tiles * tile_bytes, move.to_scales + tile * scale_bytes, tiles * scale_bytes};
}

// A tile row, or a page of what is copied, from anywhere.
Relocation::Piece Relocation::sample_of(const Move& move, size_t index) {
  const uint64_t number = checksum(&index, sizeof index);
  const size_t unit = move.tiled ? 1 : kSample, end = move.tiled ? mxfp4_tile_rows(move.rows) : move.bytes;
  const size_t begin = number % ((end + unit - 1) / unit) * unit;
  return {&move, begin, std::min(end, begin + unit)};
}

Status Relocation::spot_check(ThreadPool* pool, const HugeMemory& memory, bool* same) {
  std::vector<Piece> samples;
  size_t largest = 0, largest_scales = 0;
  for (size_t i = 0; i < moves_.size(); ++i) {
    if (moves_[i].bytes == 0) continue;
    samples.push_back(sample_of(moves_[i], i));
    const Target target = target_of(samples.back());
    largest = std::max(largest, target.bytes);
    largest_scales = std::max(largest_scales, target.scale_bytes);
  }
  std::vector<std::vector<uint8_t>> packed(size_t(pool->size()), std::vector<uint8_t>(largest)),
      packed_scales(size_t(pool->size()), std::vector<uint8_t>(largest_scales));
  std::atomic<int> failure{0};
  std::atomic<bool> differs{false};
  pool->parallel_for(samples.size(), 1, [&](size_t begin, size_t end, int thread) {
    uint8_t *to = packed[size_t(thread)].data(), *to_scales = packed_scales[size_t(thread)].data();
    for (size_t i = begin; i < end; ++i) {
      const Target target = target_of(samples[i]);
      const Move& move = *samples[i].move;
      if (const int error = run_piece(samples[i], to, to_scales)) failure = error;
      if (move.mapped) {  // more was brought in than was asked for, and may not be given back in such small pieces
        forget(move.from, move.bytes);
        if (move.scales) forget(move.scales, move.rows * move.row_blocks);
      }
      if (std::memcmp(to, memory.data() + target.at, target.bytes) != 0) differs = true;
      if (std::memcmp(to_scales, memory.data() + target.scales_at, target.scale_bytes) != 0) differs = true;
    }
  });
  *same = !differs && !bad_scale_;
  bad_scale_ = nullptr;  // run() will find it again, and its first one
  return failure == 0 ? Status() : read_failed(failure);
}

// An errno where the disk fails, else 0.
int Relocation::run_piece(const Piece& piece, uint8_t* to, uint8_t* to_scales) {
  const Move& move = *piece.move;
  if (move.int8) return pack_int8(piece, to, to_scales);
  if (move.tiled) return pack(piece, to, to_scales);
  const uint8_t* from = move.from + piece.begin;
  const size_t bytes = piece.end - piece.begin;
  if (const int error = populate(from, bytes)) return error;
  std::memcpy(to, from, bytes);
  forget(from, bytes);
  return piece.begin == 0 && move.scales ? copy_scales(move, to_scales) : 0;
}

int Relocation::copy_scales(const Move& move, uint8_t* to) {
  const size_t bytes = move.rows * move.row_blocks;
  if (const int error = populate(move.scales, bytes)) return error;
  if (check_scales(move.scales, bytes)) std::memcpy(to, move.scales, bytes);
  forget(move.scales, bytes);
  return 0;
}

int Relocation::pack(const Piece& piece, uint8_t* to, uint8_t* to_scales) {
  const Move& move = *piece.move;
  const size_t first = piece.begin * kMxfp4TileRows, last = std::min(move.rows, piece.end * kMxfp4TileRows);
  const size_t row_bytes = move.row_blocks * kMxfp4BlockBytes;
  const uint8_t *from = move.from + first * row_bytes, *scales = move.scales + first * move.row_blocks;
  const size_t bytes = (last - first) * row_bytes, scale_bytes = (last - first) * move.row_blocks;
  if (const int error = populate(from, bytes)) return error;
  if (const int error = populate(scales, scale_bytes)) return error;
  if (check_scales(scales, scale_bytes))
    pack_mxfp4(move.from, move.scales, move.rows, move.row_blocks, piece.begin, piece.end, to, to_scales);
  forget(from, bytes);
  forget(scales, scale_bytes);
  return 0;
}

int Relocation::pack_int8(const Piece& piece, uint8_t* to, uint8_t* to_scales) {
  const Move& move = *piece.move;
  const size_t first = piece.begin * kMxfp4TileRows, last = std::min(move.rows, piece.end * kMxfp4TileRows);
  const size_t n_in = move.row_blocks * kMxfp4Block, row_bytes = n_in * sizeof(uint16_t);
  const uint8_t* from = move.from + first * row_bytes;
  const size_t bytes = (last - first) * row_bytes;
  if (const int error = move.mapped ? populate(from, bytes) : 0) return error;
  pack_i8(move.from, move.rows, n_in, piece.begin, piece.end, to, to_scales);
  if (move.mapped) forget(from, bytes);
  return 0;
}

bool Relocation::check_scales(const uint8_t* scales, size_t bytes) {
  const void* found = std::memchr(scales, kE8m0Nan, bytes);
  if (found) bad_scale_ = static_cast<const uint8_t*>(found);
  return found == nullptr;
}

}  // namespace switchyard
