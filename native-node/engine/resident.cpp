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
#include "ops/ggml_blocks.h"
#include "ops/i8_tiles.h"
#include "ops/mxfp4_tiles.h"
#include "ops/ops.h"

namespace switchyard {
namespace {

constexpr size_t kHugePage = size_t(2) << 20;
constexpr size_t kPiece = size_t(4) << 20;   // bytes copied between two looks at the queue and reports of progress
constexpr size_t kPacked = size_t(256) << 10;  // the same of what is packed: they stay in a core's own cache
constexpr size_t kSpare = size_t(256) << 20;  // of memory that stays free for everything else
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

Status check_memory(const std::string& what, size_t bytes) {
  const int64_t available = std::max<int64_t>(available_memory(), 0);
  if (int64_t(bytes + kSpare) <= available) return {};
  return Status::error(Code::out_of_memory, what + " need " + gigabytes(bytes) + " GB of memory, " +
                                                gigabytes(size_t(available)) + " GB are available");
}

size_t Relocation::place(size_t bytes) {
  const size_t at = bytes_;
  bytes_ += (bytes + kAlign - 1) / kAlign * kAlign;
  return at;
}

void Relocation::add(const StoredRows& stored, const uint16_t* memory, Form form, Moved moved) {
  moves_.push_back({stored, reinterpret_cast<const uint8_t*>(memory), form, 0, 0, std::move(moved)});
  Move& move = moves_.back();
  move.to = place(move.units() * move.unit_bytes());
  move.to_scales = place(move.units() * move.unit_scale_bytes());
}

void Relocation::rows(const StoredRows& stored, Moved moved) { add(stored, nullptr, Form::rows, std::move(moved)); }

void Relocation::tiles(const StoredRows& stored, Moved moved) { add(stored, nullptr, Form::tiles, std::move(moved)); }

void Relocation::int8(const StoredRows& stored, const uint16_t* memory, Moved moved) {
  add(stored, memory, Form::int8, std::move(moved));
}

size_t Relocation::Move::units() const { return form == Form::rows ? stored.rows : mxfp4_tile_rows(stored.rows); }

size_t Relocation::Move::unit_rows() const { return form == Form::rows ? 1 : kMxfp4TileRows; }

size_t Relocation::Move::unit_bytes() const {
  return form == Form::int8 ? stored.n_in / kMxfp4Block * kI8TileBytes : unit_rows() * stored.row_bytes();
}

size_t Relocation::Move::unit_scale_bytes() const {
  return form == Form::int8 ? stored.n_in / kMxfp4Block * kMxfp4TileRows * sizeof(uint16_t) : unit_rows() * stored.scale_bytes();
}

size_t Relocation::Move::unit_buffer_bytes() const {
  if (memory) return 0;
  const size_t as_stored = stored.is_plain() && form != Form::int8 ? 0 : stored.file_row_bytes();
  const size_t unpacked = form == Form::tiles ? stored.row_bytes() + stored.scale_bytes() : 0;
  return unit_rows() * (as_stored + unpacked);
}

std::vector<Relocation::Piece> Relocation::pieces() const {
  std::vector<Piece> pieces;
  for (const Move& move : moves_) {
    const size_t end = move.units(), buffer = move.unit_buffer_bytes();
    const size_t bytes = std::max(move.unit_bytes(), buffer), most = buffer > 0 || move.memory ? kPacked : kPiece;
    const size_t step = std::max<size_t>(most / std::max<size_t>(bytes, 1), 1);
    for (size_t at = 0; at < end; at += step) pieces.push_back({&move, at, std::min(end, at + step)});
  }
  return pieces;
}

Relocation::Buffers Relocation::buffers_for(const std::vector<Piece>& pieces, const ThreadPool& pool) {
  size_t largest = 0;
  for (const Piece& piece : pieces) largest = std::max(largest, (piece.end - piece.begin) * piece.move->unit_buffer_bytes());
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
    const StoredRows& stored = move.stored;
    const uint64_t numbers[] = {uint64_t(move.form),    uint64_t(stored.dtype), stored.from.number(), stored.odd.number(),
                                stored.scales.number(), stored.rows,            stored.n_in,          move.to,
                                move.to_scales};
    sum = checksum(numbers, sizeof numbers, sum);
  }
  return sum;
}

Relocation::Target Relocation::target_of(const Piece& piece) {
  const Move& move = *piece.move;
  const size_t count = piece.end - piece.begin;
  return {move.to + piece.begin * move.unit_bytes(), count * move.unit_bytes(),
          move.to_scales + piece.begin * move.unit_scale_bytes(), count * move.unit_scale_bytes()};
}

// One unit from anywhere.
Relocation::Piece Relocation::sample_of(const Move& move, size_t index) {
  const size_t begin = checksum(&index, sizeof index) % move.units();
  return {&move, begin, begin + 1};
}

Status Relocation::spot_check(ThreadPool* pool, const uint8_t* memory, bool* same) {
  std::vector<Piece> samples;
  size_t largest = 0, largest_scales = 0;
  for (size_t i = 0; i < moves_.size(); ++i) {
    if (moves_[i].units() == 0) continue;
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
  switch (piece.move->form) {
    case Form::tiles: return pack_tiles(piece, buffer, to, to_scales);
    case Form::int8: return pack_int8(piece, buffer, to, to_scales);
    case Form::rows: break;
  }
  return read_rows(*piece.move, piece.begin, piece.end - piece.begin, buffer, to, to_scales);
}

// And looks at the scales.
ReadError Relocation::read_rows(const Move& move, size_t first, size_t count, uint8_t* buffer, uint8_t* to, uint8_t* to_scales) {
  const StoredRows& stored = move.stored;
  if (const ReadError error = switchyard::read_rows(files_, stored, first, count, buffer, to, to_scales)) return error;
  if (const size_t bytes = stored.scale_bytes(); bytes > 0) {
    if (const void* found = std::memchr(to_scales, kE8m0Nan, count * bytes)) {
      const size_t at = size_t(static_cast<const uint8_t*>(found) - to_scales);
      bad_scale_ = stored.scale_place(first + at / bytes, at % bytes).number();
    }
  }
  return {};
}

ReadError Relocation::pack_tiles(const Piece& piece, uint8_t* buffer, uint8_t* to, uint8_t* to_scales) {
  const StoredRows& stored = piece.move->stored;
  const size_t first = piece.begin * kMxfp4TileRows, rows = std::min(stored.rows, piece.end * kMxfp4TileRows) - first;
  uint8_t *values = buffer, *scales = values + rows * stored.row_bytes(), *raw = scales + rows * stored.scale_bytes();
  if (const ReadError error = read_rows(*piece.move, first, rows, raw, values, scales)) return error;
  pack_mxfp4(values, scales, rows, stored.scale_bytes(), 0, piece.end - piece.begin, to, to_scales);
  return {};
}

ReadError Relocation::pack_int8(const Piece& piece, uint8_t* buffer, uint8_t* to, uint8_t* to_scales) {
  const Move& move = *piece.move;
  const StoredRows& stored = move.stored;
  const size_t first = piece.begin * kMxfp4TileRows, rows = std::min(stored.rows, piece.end * kMxfp4TileRows) - first;
  const uint8_t* from = move.memory ? move.memory + first * stored.row_bytes() : buffer;
  if (!move.memory) {
    if (const ReadError error = read_raw_rows(files_, stored, first, rows, buffer)) return error;
  }
  if (stored.dtype == Dtype::q8_0) {
    pack_ggml_q8(from, rows, stored.n_in / kMxfp4Block, 0, piece.end - piece.begin, to, to_scales);
  } else {
    pack_i8(from, rows, stored.n_in, 0, piece.end - piece.begin, to, to_scales);
  }
  return {};
}

}  // namespace switchyard
