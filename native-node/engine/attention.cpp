#include "attention.h"

#include <algorithm>
#include <cmath>

namespace switchyard {
namespace {

constexpr size_t kTileRows = 16;  // that share a span: its keys and values stay in a core's second cache
constexpr size_t kSplitRows = 4;  // a sequence with at most this many rows in a step is cut by spans
constexpr size_t kTilesOfSpan = kSdpaSpan / kKvTile;

}  // namespace

Attention::Attention(const Weights& weights, const Ops& ops, ThreadPool* pool, KvCache* cache, size_t max_rows)
    : weights_(weights),
      config_(weights.config()),
      ops_(ops),
      pool_(*pool),
      cache_(*cache),
      kv_heads_(size_t(config_.num_key_value_heads)),
      group_(size_t(config_.num_attention_heads) / kv_heads_),
      head_dim_(size_t(config_.head_dim)),
      window_(size_t(config_.sliding_window)),
      part_floats_(group_ * (head_dim_ + 2)),
      scratch_(size_t(pool->size())),
      pieces_left_(new std::atomic<uint32_t>[max_rows * kv_heads_]) {
  for (Scratch& scratch : scratch_) {
    scratch.sdpa.reset(new float[sdpa_scratch(group_, head_dim_)]);
    scratch.parts.reset(new float[(kTileRows + 1) * part_floats_]);
  }
}

// The positions that a row sees, itself included.
Attention::Positions Attention::attended(bool sliding, size_t row) const {
  const size_t end = rows_[row].position + 1;
  return {sliding && end > window_ ? end - window_ : 0, end};
}

void Attention::begin(std::span<const Row> rows) {
  rows_ = rows;
  plan(false);
  plan(true);
  const size_t parts = std::max(plans_[0].parts, plans_[1].parts);
  if (parts > parts_capacity_) {
    parts_capacity_ = 0;
    parts_.reset();
    parts_.reset(new float[2 * parts * part_floats_]);
    parts_capacity_ = 2 * parts;
  }
}

void Attention::plan(bool sliding) {
  Plan& plan = plans_[sliding];
  plan.tiles.clear();
  plan.pieces.clear();
  plan.parts = 0;
  for (size_t begin = 0; begin < rows_.size();) {
    size_t end = begin + 1;
    while (end < rows_.size() && rows_[end].table == rows_[begin].table) ++end;
    add_tiles(sliding, begin, end);
    begin = end;
  }
}

// The rows [begin, end) of one sequence.
void Attention::add_tiles(bool sliding, size_t begin, size_t end) {
  Plan& plan = plans_[sliding];
  const bool few = end - begin <= kSplitRows;
  for (size_t row = begin; row < end; row += kTileRows) {
    Tile tile{.begin = row,
              .end = std::min(end, row + kTileRows),
              .first_span = attended(sliding, row).begin / kSdpaSpan,
              .last_span = 0,
              .first_part = plan.parts,
              .split = false};
    tile.last_span = rows_[tile.end - 1].position / kSdpaSpan;
    tile.split = few && tile.spans() > 1;
    for (size_t span = tile.first_span; span <= (tile.split ? tile.last_span : tile.first_span); ++span)
      plan.pieces.push_back({plan.tiles.size(), span});
    if (tile.split) plan.parts += (tile.end - tile.begin) * tile.spans() * kv_heads_;
    plan.tiles.push_back(tile);
  }
}

void Attention::run(size_t layer, const float* q, size_t q_stride, float* out) {
  const bool sliding = config_.is_sliding[layer];
  const Plan& plan = plans_[sliding];
  for (size_t i = 0; i < plan.tiles.size(); ++i) {
    for (size_t head = 0; head < kv_heads_; ++head)
      pieces_left_[i * kv_heads_ + head].store(uint32_t(plan.tiles[i].spans()), std::memory_order_relaxed);
  }
  const Layer run{layer, q, q_stride, out};
  const size_t count = plan.pieces.size() * kv_heads_;
  pool_.parallel_for(count, 1, [&](size_t begin, size_t end, int thread) {
    for (size_t i = begin; i < end; ++i) {
      const Piece& piece = plan.pieces[i / kv_heads_];
      const Tile& tile = plan.tiles[piece.tile];
      Scratch* scratch = &scratch_[size_t(thread)];
      Ahead next;
      if (i + 1 < count) {  // a thread takes one piece after the other, as long as it has any of its own
        const Piece& then = plan.pieces[(i + 1) / kv_heads_];
        next = ahead(run, plan.tiles[then.tile].begin, then.span, (i + 1) % kv_heads_);
      }
      if (tile.split) {
        run_span(run, piece, i % kv_heads_, next, scratch);
      } else {
        run_rows(run, tile, i % kv_heads_, next, scratch);
      }
    }
  });
  for (size_t row = 0; row < rows_.size(); ++row) {
    const Positions seen = attended(sliding, row);
    bytes_read_ += (seen.end - seen.begin) * 2 * kv_heads_ * head_dim_ * cache_.element_bytes();
  }
}

// The first tiles of keys that a row reads in a span.
Attention::Ahead Attention::ahead(const Layer& layer, size_t row, size_t span, size_t head) const {
  const Positions seen = attended(config_.is_sliding[layer.index], row);
  const size_t first = std::max(seen.begin, span * kSdpaSpan) / kKvTile;
  const size_t end = (std::min(seen.end, (span + 1) * kSdpaSpan) + kKvTile - 1) / kKvTile;
  const BlockTable::Layer& table = rows_[row].table->layer(layer.index);
  Ahead next;
  for (size_t tile = first; tile < end && next.count < kSdpaAhead; ++tile)
    next.tiles[next.count++] = cache_.keys(table.blocks[tile - table.first], head);
  return next;
}

// All spans of a tile's rows, one after the other, each for all rows.
void Attention::run_rows(const Layer& layer, const Tile& tile, size_t head, const Ahead& next, Scratch* scratch) {
  const size_t rows = tile.end - tile.begin;
  const SdpaPart spare = part_at(scratch->parts.get(), rows);
  bool begun[kTileRows] = {};
  for (size_t span = tile.first_span; span <= tile.last_span; ++span) {
    // The last row sees the most: it looks ahead for all.
    const Ahead then = span < tile.last_span ? ahead(layer, tile.end - 1, span + 1, head) : next;
    for (size_t i = 0; i < rows; ++i) {
      const SdpaPart part = part_at(scratch->parts.get(), i);
      if (!attend(layer, tile.begin + i, span, head, i + 1 < rows ? Ahead() : then, begun[i] ? spare : part, scratch))
        continue;
      if (begun[i]) ops_.f32_sdpa_merge(part, spare, group_, head_dim_);
      begun[i] = true;
    }
  }
  for (size_t i = 0; i < rows; ++i) finish(layer, tile.begin + i, head, part_at(scratch->parts.get(), i));
}

void Attention::run_span(const Layer& layer, const Piece& piece, size_t head, const Ahead& next, Scratch* scratch) {
  const Tile& tile = plans_[config_.is_sliding[layer.index]].tiles[piece.tile];
  for (size_t row = tile.begin; row < tile.end; ++row) {
    const Ahead& then = row + 1 < tile.end ? Ahead() : next;
    attend(layer, row, piece.span, head, then, split_part(tile, row, piece.span, head), scratch);
  }
  std::atomic<uint32_t>& left = pieces_left_[piece.tile * kv_heads_ + head];
  if (left.fetch_sub(1, std::memory_order_acq_rel) == 1) join_spans(layer, tile, head);
}

void Attention::join_spans(const Layer& layer, const Tile& tile, size_t head) {
  for (size_t row = tile.begin; row < tile.end; ++row) {
    const Positions seen = attended(config_.is_sliding[layer.index], row);
    const size_t first = seen.begin / kSdpaSpan, last = (seen.end - 1) / kSdpaSpan;
    const SdpaPart part = split_part(tile, row, first, head);
    for (size_t span = first + 1; span <= last; ++span)
      ops_.f32_sdpa_merge(part, split_part(tile, row, span, head), group_, head_dim_);
    finish(layer, row, head, part);
  }
}

// The query heads that share one key/value head, at one position, over one span; false where the row attends nothing there.
bool Attention::attend(const Layer& layer, size_t row, size_t span, size_t head, const Ahead& next,
                       const SdpaPart& part, Scratch* scratch) {
  const Positions seen = attended(config_.is_sliding[layer.index], row);
  const size_t begin = std::max(seen.begin, span * kSdpaSpan), end = std::min(seen.end, (span + 1) * kSdpaSpan);
  if (begin >= end) return false;
  const BlockTable::Layer& table = rows_[row].table->layer(layer.index);
  const void *keys[kTilesOfSpan], *values[kTilesOfSpan];
  const size_t first = begin / kKvTile, last = (end - 1) / kKvTile;
  for (size_t tile = first; tile <= last; ++tile) {
    const uint32_t block = table.blocks[tile - table.first];
    keys[tile - first] = cache_.keys(block, head);
    values[tile - first] = cache_.values(block, head);
  }
  const SdpaArgs args{.q = layer.q + row * layer.q_stride + head * group_ * head_dim_,
                      .group = group_,
                      .head_dim = head_dim_,
                      .k_tiles = keys,
                      .v_tiles = values,
                      .begin = begin - first * kKvTile,
                      .end = end - first * kKvTile,
                      .next_tiles = next.count > 0 ? next.tiles : keys,
                      .next_count = std::max<size_t>(next.count, 1),
                      .scale = 1.0f / std::sqrt(float(head_dim_)),
                      .scratch = scratch->sdpa.get(),
                      .out = part};
  (cache_.element_bytes() == sizeof(float) ? ops_.f32kv_sdpa : ops_.bf16kv_sdpa)(args);
  return true;
}

void Attention::finish(const Layer& layer, size_t row, size_t head, const SdpaPart& part) {
  float* out = layer.out + (row * kv_heads_ + head) * group_ * head_dim_;
  ops_.f32_sdpa_finish(out, part, &weights_.layer(layer.index).sinks[head * group_], group_, head_dim_);
}

SdpaPart Attention::part_at(float* parts, size_t index) const {
  float* part = parts + index * part_floats_;
  return {.max = part, .sum = part + group_, .values = part + 2 * group_};
}

SdpaPart Attention::split_part(const Tile& tile, size_t row, size_t span, size_t head) const {
  const size_t place = (row - tile.begin) * tile.spans() + span - tile.first_span;
  return part_at(parts_.get(), tile.first_part + place * kv_heads_ + head);
}

}  // namespace switchyard
