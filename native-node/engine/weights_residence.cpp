// Where bound weights live: copied to huge pages, as tiles, as int8, or read ahead in the file; and that no scale is NaN.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>

#include "weight_binder.h"

namespace switchyard {
namespace {

constexpr size_t kReadPiece = size_t(64) << 20;  // bytes read ahead between two reports of progress

}  // namespace

// Whether attention's matrices can be int8: blocks of 32, and no more than bf16 holds.
Status WeightBinder::check_int8() const {
  for (const LayerWeights& layer : weights_.layers_) {
    for (const Linear* linear : {&layer.q, &layer.k, &layer.v, &layer.o}) {
      if (linear->n_in() % kMxfp4Block != 0)
        return Status::error(Code::unsupported, "int8 dense matrices need rows of a multiple of 32 elements, not " +
                                                    std::to_string(linear->n_in()));
      for (size_t part = 1; part < linear->count; ++part) {
        if (linear->parts[part].bf16)
          return Status::error(Code::unsupported, "int8 dense matrices need a checkpoint whose attention is BF16");
      }
    }
  }
  return {};
}

void WeightBinder::make_int8(const std::function<bool(const void*)>& is_mapped, Relocation* relocation) {
  for (LayerWeights& layer : weights_.layers_) {
    for (Linear* linear : {&layer.q, &layer.k, &layer.v, &layer.o}) {
      Matrix* matrix = &linear->parts[0];
      const size_t before = matrix->bytes();
      const auto moved = [this, matrix, before](const uint8_t* tiles, const uint8_t* scales) {
        matrix->bf16 = nullptr;
        matrix->i8 = tiles;
        matrix->scales = scales;
        matrix->tiled = true;
        weights_.bytes_ -= int64_t(before) - int64_t(matrix->bytes());
      };
      relocation->int8(matrix->bf16, matrix->rows, matrix->n_in / kMxfp4Block, is_mapped(matrix->bf16), moved);
    }
  }
}

// The new memory's content: from the cache where that serves, else from the checkpoint.
Status WeightBinder::fill(Relocation* relocation, WeightCache* cache, const Weights::Progress& progress) {
  HugeMemory& memory = weights_.huge_;
  if (cache) {
    const Checkpoint& files = *weights_.checkpoint_;
    const WeightFileKey key{files.identity(), relocation->plan([&](const void* at) { return files.place_of(at); })};
    if (cache->read_weights(key, memory.bytes(), &pool_, progress, memory.data())) {
      bool same = false;
      if (Status status = relocation->spot_check(&pool_, memory, &same); !status.ok()) return status;
      if (same) return {};
      cache->reject();
    }
  }
  const double share = cache ? WeightCache::kPackingShare : 1;
  const Weights::Progress packing = [&](double fraction) { progress(fraction * share); };
  return relocation->run(&pool_, progress ? packing : progress, memory);
}

// Copies what decoding reads out of the file into huge pages, experts as tiles where asked, and forgets the file's pages.
Status WeightBinder::make_resident(Residence residence, WeightCache* cache, const Weights::Progress& progress) {
  const bool tiled = residence != Residence::resident, as_int8 = residence == Residence::int8;
  if (Status status = as_int8 ? check_int8() : Status(); !status.ok()) return status;
  std::map<const uint8_t*, size_t> tensors(in_place_.begin(), in_place_.end());
  const auto is_mapped = [&](const void* data) {
    const uint8_t* at = static_cast<const uint8_t*>(data);
    const auto next = tensors.upper_bound(at);
    return next != tensors.begin() && at < std::prev(next)->first + std::prev(next)->second;
  };
  Relocation relocation;
  if (as_int8) make_int8(is_mapped, &relocation);
  std::vector<Matrix*> matrices;
  weights_.for_each_decode_matrix([&](Matrix* matrix) {
    if (relocation.moves(matrix->bf16)) return;
    if (is_mapped(matrix->blocks ? static_cast<const void*>(matrix->blocks) : matrix->bf16)) matrices.push_back(matrix);
  });
  const bool tied = weights_.unembedding_.parts[0].bf16 == weights_.embedding_.parts[0].bf16;
  for (Matrix* matrix : matrices) {
    if (!matrix->blocks) {
      relocation.copy(matrix->bf16, matrix->rows * matrix->n_in * sizeof(uint16_t),
                      [matrix](const void* to) { matrix->bf16 = static_cast<const uint16_t*>(to); });
      continue;
    }
    const auto moved = [matrix, tiled](const uint8_t* blocks, const uint8_t* scales) {
      matrix->blocks = blocks;
      matrix->scales = scales;
      matrix->tiled = tiled;
    };
    relocation.mxfp4(matrix->blocks, matrix->scales, matrix->rows, matrix->n_in / kMxfp4Block, tiled, moved);
  }
  if (Status status = relocation.allocate(&weights_.huge_); !status.ok()) return status;
  if (Status status = fill(&relocation, cache, progress); !status.ok()) {
    // Beyond the 255 of a scale, which has a name.
    const uint8_t* bad = relocation.bad_scale();
    for (const Scales& scales : scales_) {
      if (bad && bad >= scales.data && bad < scales.data + scales.bytes) return bad_scale(scales, size_t(bad - scales.data));
    }
    return status;
  }
  relocation.finish(weights_.huge_);
  if (tied) weights_.embedding_ = weights_.unembedding_;
  std::erase_if(in_place_, [&](const auto& tensor) { return relocation.has_moved(tensor.first, tensor.second); });
  std::erase_if(scales_, [&](const Scales& scales) { return relocation.has_moved(scales.data, scales.bytes); });
  return {};
}

// Brings the rest of the file's pages into memory, when they fit, so that the first request does not wait for the disk
// and a failing disk is an error here instead of a signal later.
Status WeightBinder::read_ahead(const Weights::Progress& progress) {
  const double memory = double(sysconf(_SC_PHYS_PAGES)) * double(sysconf(_SC_PAGESIZE));
  if (double(weights_.bytes_) > 0.9 * memory) return {};
  std::vector<std::pair<const uint8_t*, size_t>> pieces;
  for (const auto& [data, bytes] : in_place_) {
    for (size_t at = 0; at < bytes; at += kReadPiece) pieces.emplace_back(data + at, std::min(kReadPiece, bytes - at));
  }
  std::atomic<int> failure{0};
  size_t done = 0;
  std::mutex report;
  pool_.parallel_for(pieces.size(), 1, [&](size_t begin, size_t end, int) {
    for (size_t i = begin; i < end; ++i) {
      if (const int error = populate(pieces[i].first, pieces[i].second)) failure = error;
      const std::lock_guard lock(report);
      ++done;
      if (progress) progress(double(done) / double(pieces.size()));
    }
  });
  if (failure != 0) return read_failed(failure);
  return {};
}

Status WeightBinder::bad_scale(const Scales& scales, size_t element) {
  return Status::error(Code::invalid_file, "tensor \"" + scales.name + "\" has the scale 255 (not a number) at element " +
                                               std::to_string(element));
}

Status WeightBinder::check_scales() {
  for (const Scales& scales : scales_) {
    std::atomic<size_t> bad{SIZE_MAX};
    pool_.parallel_for(scales.bytes, size_t(1) << 20, [&](size_t begin, size_t end, int) {
      if (const void* found = std::memchr(scales.data + begin, kE8m0Nan, end - begin)) {
        bad = size_t(static_cast<const uint8_t*>(found) - scales.data);
      }
    });
    if (bad != SIZE_MAX) return bad_scale(scales, bad);
  }
  return {};
}

}  // namespace switchyard
