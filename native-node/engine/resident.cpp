#include "resident.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
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
constexpr size_t kPiece = size_t(4) << 20;   // bytes copied between two looks at the queue and reports of progress
constexpr size_t kPacked = size_t(256) << 10;  // the same of what is packed: they stay in a core's own cache
constexpr size_t kSpare = size_t(256) << 20;  // of memory that stays free for everything else
constexpr size_t kSample = 4096;             // bytes of a copy that a spot check looks at
constexpr size_t kAlign = 64;                // a cache line, and a vector of AVX-512

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

Status check_memory(size_t bytes) {
  const int64_t available = std::max<int64_t>(available_memory(), 0);
  if (int64_t(bytes + kSpare) <= available) return {};
  return Status::error(Code::out_of_memory, "the weights need " + gigabytes(bytes) + " GB of memory, " +
                                                gigabytes(size_t(available)) + " GB are available");
}

size_t Relocation::place(size_t bytes) {
  const size_t at = bytes_;
  bytes_ += (bytes + kAlign - 1) / kAlign * kAlign;
  return at;
}

void Relocation::copy(Place from, size_t bytes, std::function<void(const void* to)> moved) {
  const auto told = [moved = std::move(moved)](const uint8_t* to, const uint8_t*) { moved(to); };
  moves_.push_back({from, {}, nullptr, bytes, 0, 0, false, false, place(bytes), 0, told});
}

void Relocation::mxfp4(Place blocks, Place scales, size_t rows, size_t row_blocks, bool tiled,
                       std::function<void(const uint8_t* blocks, const uint8_t* scales)> moved) {
  const size_t stored = tiled ? mxfp4_tile_rows(rows) * kMxfp4TileRows : rows;
  const size_t to = place(stored * row_blocks * kMxfp4BlockBytes), to_scales = place(stored * row_blocks);
  const size_t bytes = rows * row_blocks * kMxfp4BlockBytes;
  moves_.push_back({blocks, scales, nullptr, bytes, rows, row_blocks, tiled, false, to, to_scales, std::move(moved)});
}

void Relocation::int8(Place from, const uint16_t* memory, size_t rows, size_t row_blocks,
                      std::function<void(const uint8_t* tiles, const uint8_t* scales)> moved) {
  const size_t tiles = mxfp4_tile_rows(rows) * row_blocks, bytes = rows * row_blocks * kMxfp4Block * sizeof(uint16_t);
  const size_t to = place(tiles * kI8TileBytes), to_scales = place(tiles * kMxfp4TileRows * sizeof(uint16_t));
  const uint8_t* source = reinterpret_cast<const uint8_t*>(memory);
  moves_.push_back({from, {}, source, bytes, rows, row_blocks, true, true, to, to_scales, std::move(moved)});
}

std::vector<Relocation::Piece> Relocation::pieces() const {
  std::vector<Piece> pieces;
  for (const Move& move : moves_) {
    const size_t end = move.tiled ? mxfp4_tile_rows(move.rows) : move.bytes;
    const size_t step = move.tiled ? std::max<size_t>(kPacked / (kMxfp4TileRows * move.row_bytes()), 1) : kPiece;
    for (size_t at = 0; at < end; at += step) pieces.push_back({&move, at, std::min(end, at + step)});
  }
  return pieces;
}

// Of a tile row's blocks and scales.
Relocation::Buffers Relocation::buffers_for(const std::vector<Piece>& pieces, const ThreadPool& pool) {
  size_t largest = 0;
  for (const Piece& piece : pieces) {
    if (!piece.move->tiled) continue;
    const size_t rows = (piece.end - piece.begin) * kMxfp4TileRows;
    largest = std::max(largest, rows * (piece.move->row_bytes() + piece.move->row_blocks));
  }
  return Buffers(size_t(pool.size()), std::vector<uint8_t>(largest));
}

Status Relocation::run(ThreadPool* pool, const Progress& progress, uint8_t* memory) {
  const std::vector<Piece> pieces = this->pieces();
  Buffers buffers = buffers_for(pieces, *pool);
  FirstReadError failure;
  size_t done = 0;
  std::mutex report;
  pool->parallel_for(pieces.size(), 1, [&](size_t begin, size_t end, int thread) {
    for (size_t i = begin; i < end && !failure.is_set(); ++i) {
      const Target target = target_of(pieces[i]);
      uint8_t* buffer = buffers[size_t(thread)].data();
      failure.keep(run_piece(pieces[i], buffer, memory + target.at, memory + target.scales_at));
      const std::lock_guard lock(report);
      ++done;
      if (progress) progress(double(done) / double(pieces.size()));
    }
  });
  if (failure.is_set()) return failure.status();
  if (bad_scale_ != 0) return Status::error(Code::invalid_file, "a scale is 255 (not a number)");
  return {};
}

void Relocation::finish(const uint8_t* memory) const {
  for (const Move& move : moves_) move.moved(memory + move.to, memory + move.to_scales);
}

uint64_t Relocation::plan() const {
  uint64_t sum = bytes_;
  for (const Move& move : moves_) {
    const uint64_t kind = uint64_t(move.tiled) | uint64_t(move.int8) << 1 | uint64_t(move.scales.file != 0) << 2;
    const uint64_t numbers[] = {kind,      move.from.number(), move.scales.number(), move.bytes,
                                move.rows, move.row_blocks,    move.to,              move.to_scales};
    sum = checksum(numbers, sizeof numbers, sum);
  }
  return sum;
}

Relocation::Target Relocation::target_of(const Piece& piece) {
  const Move& move = *piece.move;
  if (!move.tiled) {
    const size_t scale_bytes = piece.begin == 0 && move.scales.file != 0 ? move.rows * move.row_blocks : 0;
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

Status Relocation::spot_check(ThreadPool* pool, const uint8_t* memory, bool* same) {
  std::vector<Piece> samples;
  size_t largest = 0, largest_scales = 0;
  for (size_t i = 0; i < moves_.size(); ++i) {
    if (moves_[i].bytes == 0) continue;
    samples.push_back(sample_of(moves_[i], i));
    const Target target = target_of(samples.back());
    largest = std::max(largest, target.bytes);
    largest_scales = std::max(largest_scales, target.scale_bytes);
  }
  Buffers buffers = buffers_for(samples, *pool);
  Buffers packed(buffers.size(), std::vector<uint8_t>(largest));
  Buffers packed_scales(buffers.size(), std::vector<uint8_t>(largest_scales));
  FirstReadError failure;
  std::atomic<bool> differs{false};
  pool->parallel_for(samples.size(), 1, [&](size_t begin, size_t end, int thread) {
    uint8_t *to = packed[size_t(thread)].data(), *to_scales = packed_scales[size_t(thread)].data();
    for (size_t i = begin; i < end && !failure.is_set(); ++i) {
      const Target target = target_of(samples[i]);
      if (failure.keep(run_piece(samples[i], buffers[size_t(thread)].data(), to, to_scales))) return;
      if (std::memcmp(to, memory + target.at, target.bytes) != 0) differs = true;
      if (std::memcmp(to_scales, memory + target.scales_at, target.scale_bytes) != 0) differs = true;
    }
  });
  *same = !differs && bad_scale_ == 0;
  bad_scale_ = 0;  // run() will find it again, and its first one
  return failure.status();
}

ReadError Relocation::run_piece(const Piece& piece, uint8_t* buffer, uint8_t* to, uint8_t* to_scales) {
  const Move& move = *piece.move;
  if (move.tiled) return pack(piece, buffer, to, to_scales);
  if (const ReadError error = files_.read(move.from.after(piece.begin), piece.end - piece.begin, to)) return error;
  return piece.begin == 0 && move.scales.file != 0 ? read_scales(move, 0, move.rows, to_scales) : ReadError();
}

// Of the rows [first, first + count).
ReadError Relocation::read_scales(const Move& move, size_t first, size_t count, uint8_t* to) {
  const Place place = move.scales.after(first * move.row_blocks);
  const size_t bytes = count * move.row_blocks;
  if (const ReadError error = files_.read(place, bytes, to)) return error;
  if (const void* found = std::memchr(to, kE8m0Nan, bytes))
    bad_scale_ = place.after(size_t(static_cast<const uint8_t*>(found) - to)).number();
  return {};
}

ReadError Relocation::pack(const Piece& piece, uint8_t* buffer, uint8_t* to, uint8_t* to_scales) {
  const Move& move = *piece.move;
  const size_t first = piece.begin * kMxfp4TileRows, rows = std::min(move.rows, piece.end * kMxfp4TileRows) - first;
  const size_t offset = first * move.row_bytes(), bytes = rows * move.row_bytes();
  const uint8_t* from = move.memory ? move.memory + offset : buffer;
  if (!move.memory) {
    if (const ReadError error = files_.read(move.from.after(offset), bytes, buffer)) return error;
  }
  if (move.int8) {
    pack_i8(from, rows, move.row_blocks * kMxfp4Block, 0, piece.end - piece.begin, to, to_scales);
    return {};
  }
  uint8_t* scales = buffer + bytes;
  if (const ReadError error = read_scales(move, first, rows, scales)) return error;
  pack_mxfp4(from, scales, rows, move.row_blocks, 0, piece.end - piece.begin, to, to_scales);
  return {};
}

}  // namespace switchyard
