// Where bound weights live: in huge pages, as they are, as tiles, or as int8.
#include <iterator>
#include <unordered_set>

#include "weight_binder.h"

namespace switchyard {

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

void WeightBinder::make_int8(Matrix* matrix, Relocation* relocation) {
  const size_t before = matrix->rows * (matrix->n_in + (matrix->bias ? 1 : 0)) * sizeof(uint16_t);
  const auto moved = [this, matrix, before](const uint8_t* tiles, const uint8_t* scales) {
    matrix->bf16 = nullptr;
    matrix->i8 = tiles;
    matrix->scales = scales;
    matrix->tiled = true;
    weights_.bytes_ += int64_t(matrix->bytes()) - int64_t(before);
  };
  const auto found = stored_.find(matrix);
  StoredRows stored;
  stored.rows = matrix->rows;
  stored.n_in = matrix->n_in;
  if (found != stored_.end()) stored = found->second;
  relocation->int8(stored, matrix->bf16, moved);
}

void WeightBinder::move(Matrix* matrix, const StoredRows& stored, Relocation* relocation) const {
  if (!stored.is_mxfp4()) {
    relocation->rows(stored, [matrix](const uint8_t* to, const uint8_t*) { matrix->bf16 = reinterpret_cast<const uint16_t*>(to); });
    return;
  }
  const bool tiled = residence_ == Residence::tiled || residence_ == Residence::int8;
  const auto moved = [matrix, tiled](const uint8_t* blocks, const uint8_t* scales) {
    matrix->blocks = blocks;
    matrix->scales = scales;
    matrix->tiled = tiled;
  };
  tiled ? relocation->tiles(stored, moved) : relocation->rows(stored, moved);
}

// What decoding reads, and the embedding, of which it takes one row: that is not packed, so that no cache need hold it.
void WeightBinder::move_all(Relocation* packed, Relocation* embedding) {
  std::unordered_set<const Matrix*> done;
  for (LayerWeights& layer : weights_.layers_) {
    if (residence_ != Residence::int8) break;
    for (Linear* linear : {&layer.q, &layer.k, &layer.v, &layer.o}) {
      make_int8(&linear->parts[0], packed);
      done.insert(&linear->parts[0]);
    }
  }
  weights_.for_each_decode_matrix([&](Matrix* matrix) {
    const auto stored = stored_.find(matrix);
    if (stored == stored_.end() || done.contains(matrix)) return;
    move(matrix, stored->second, packed);
  });
  const auto stored = stored_.find(&weights_.embedding_.parts[0]);
  if (stored != stored_.end()) move(&weights_.embedding_.parts[0], stored->second, embedding);
}

// The packed weights: from the cache where that serves, else from the checkpoint.
Status WeightBinder::fill(Relocation* packed, WeightCache* cache, const Weights::Progress& progress) {
  uint8_t* memory = weights_.huge_.data();
  if (cache) {
    const WeightFileKey key{files_.identity(), packed->plan()};
    if (cache->read_weights(key, packed->bytes(), &pool_, progress, memory)) {
      bool same = false;
      if (Status status = packed->spot_check(&pool_, memory, &same); !status.ok()) return status;
      if (same) return {};
      cache->reject();
    }
  }
  const double share = cache ? WeightCache::kPackingShare : 1;
  const Weights::Progress packing = [&](double fraction) { progress(fraction * share); };
  const Status status = packed->run(&pool_, progress ? packing : progress, memory);
  return status.code == Code::invalid_file ? bad_scale(packed->bad_scale()) : status;
}

// Brings what bind() found to memory, and says where it is.
Status WeightBinder::make_resident(WeightCache* cache, const Weights::Progress& progress) {
  if (Status status = residence_ == Residence::int8 ? check_int8() : Status(); !status.ok()) return status;
  Relocation packed(files_), embedding(files_);
  move_all(&packed, &embedding);
  HugeMemory& memory = weights_.huge_;
  weights_.packed_bytes_ = packed.bytes();
  Status status = check_memory("the weights", packed.bytes() + embedding.bytes());
  if (status.ok()) status = memory.allocate(packed.bytes() + embedding.bytes());
  if (status.ok()) status = fill(&packed, cache, progress);
  if (status.ok()) status = embedding.run(&pool_, {}, memory.data() + packed.bytes());
  if (!status.ok()) return status;
  packed.finish(memory.data());
  embedding.finish(memory.data() + packed.bytes());
  if (tied_) weights_.embedding_ = weights_.unembedding_;
  return {};
}

// What is wrong with the scale at a place.
Status WeightBinder::bad_scale(uint64_t place) const {
  const auto& [begin, tensor] = *std::prev(scales_.upper_bound(place));
  return Status::error(Code::invalid_file, "tensor \"" + tensor.first + "\" has the scale 255 (not a number) at element " +
                                               std::to_string((place - begin) / tensor.second));
}

}  // namespace switchyard
