#include "model.h"

#include <algorithm>
#include <chrono>
#include <iterator>

#include "memory.h"

namespace switchyard {
namespace {

struct IsaName {
  const char* name;
  Isa isa;
};
constexpr IsaName kIsas[] = {{"auto", Isa::automatic},
                             {"scalar", Isa::scalar},
                             {"avx2", Isa::avx2},
                             {"avx512", Isa::avx512},
                             {"neon", Isa::neon}};
constexpr Mode kModes[] = {Mode::exact, Mode::bf16, Mode::fast};
constexpr const char* kDense[] = {"bf16", "int8"};
constexpr const char* kHeads[] = {"auto", "screened", "exact"};
// A smaller head is no burden, and a copy of it no gain.
constexpr int64_t kLeastScreened = int64_t(64) << 20;

Status choose(const EngineOptions& options, Model* model) {
  const auto mode = std::find_if(std::begin(kModes), std::end(kModes),
                                 [&](Mode candidate) { return options.mode == mode_name(candidate); });
  if (mode == std::end(kModes))
    return Status::error(Code::invalid_argument, "mode \"" + options.mode + "\" is not exact, bf16 or fast");
  model->mode = *mode;
  const auto isa = std::find_if(std::begin(kIsas), std::end(kIsas),
                                [&](const IsaName& candidate) { return options.isa == candidate.name; });
  if (isa == std::end(kIsas)) {
    return Status::error(Code::invalid_argument,
                         "isa \"" + options.isa + "\" is not auto, scalar, avx2, avx512 or neon");
  }
  if (std::find(std::begin(kHeads), std::end(kHeads), options.head) == std::end(kHeads))
    return Status::error(Code::invalid_argument, "head \"" + options.head + "\" is not auto, screened or exact");
  if (std::find(std::begin(kDense), std::end(kDense), options.dense) == std::end(kDense))
    return Status::error(Code::invalid_argument, "dense \"" + options.dense + "\" is not bf16 or int8");
  if (options.dense == "int8" && model->mode != Mode::fast)
    return Status::error(Code::invalid_argument, std::string("mode ") + mode_name(model->mode) + " has no int8 dense matrices");
  if (options.head == "screened" && model->mode == Mode::exact)
    return Status::error(Code::invalid_argument, "mode exact has no screened head");
  model->ops = select_ops(isa->isa);
  if (!model->ops) return Status::error(Code::unsupported, "this machine or build has no " + options.isa);
  return {};
}

// The copy for screening, where it is asked for or worth its memory.
Status copy_head(const std::string& choice, WeightCache* cache, Model* model) {
  const Linear& head = model->weights->unembedding();
  const bool forced = choice == "screened";
  if (choice == "exact" || model->mode == Mode::exact) return {};
  const int64_t bytes = int64_t(HeadCopy::bytes_for(head));
  if (!forced && (!HeadCopy::suits(head) || bytes < kLeastScreened || bytes * 4 > available_memory())) return {};
  if (cache) {
    const auto fill = [&](uint8_t* to, size_t size) { return cache->read_head(size, model->pool.get(), to); };
    const Status status = HeadCopy::restore(head, *model->ops, fill, &model->head);
    if (status.ok()) return {};
    if (status.code == Code::invalid_file) cache->reject();
  }
  const Status status = HeadCopy::create(head, *model->ops, model->pool.get(), &model->head);
  return forced ? status : Status();
}

// nullptr: not asked for, or nothing is packed that it could spare.
std::unique_ptr<WeightCache> open_cache(const EngineOptions& options, Residence residence) {
  if (options.weights_cache.empty()) return nullptr;
  if (residence == Residence::exact || residence == Residence::rows) return nullptr;
  return std::make_unique<WeightCache>(options.weights_cache, options.model_path, options.dense == "int8" ? "int8" : "tiled");
}

}  // namespace

const char* mode_name(Mode mode) {
  switch (mode) {
    case Mode::exact: return "exact";
    case Mode::bf16: return "bf16";
    case Mode::fast: break;
  }
  return "fast";
}

EngineInfo Model::info() const {
  const ModelConfig& config = weights->config();
  EngineInfo info;
  info.isa = ops->name;
  info.mode = mode_name(mode);
  info.threads = pool->size();
  info.num_hidden_layers = config.num_hidden_layers;
  info.hidden_size = config.hidden_size;
  info.num_experts = config.num_experts;
  info.experts_per_token = config.experts_per_token;
  info.vocab_size = config.vocab_size;
  info.max_context = max_context;
  info.weight_bytes = weights->bytes();
  info.dense = weights->layer(0).q.parts[0].i8 ? "int8" : "bf16";
  info.head = head ? "screened" : "exact";
  info.head_bytes = head ? int64_t(head->bytes()) : 0;
  info.load_seconds = load_seconds;
  info.weights_cache = weights_cache;
  return info;
}

Status Model::load(const EngineOptions& options, const Engine::Progress& progress, std::unique_ptr<Model>* out) {
  const auto begin = std::chrono::steady_clock::now();
  auto model = std::make_unique<Model>();
  if (Status status = choose(options, model.get()); !status.ok()) return status;
  if (options.threads < 0 || options.threads > 1024)
    return Status::error(Code::invalid_argument, "threads must be 0 to 1024");
  if (options.max_context < 0) return Status::error(Code::invalid_argument, "max_context must not be negative");
  model->pool = std::make_unique<ThreadPool>(options.threads > 0 ? options.threads : available_threads());
  const Residence residence = model->mode == Mode::exact  ? Residence::exact
                              : model->mode == Mode::bf16 ? Residence::rows
                              : options.dense == "int8"   ? Residence::int8
                                                          : Residence::tiled;
  const std::unique_ptr<WeightCache> cache = open_cache(options, residence);
  if (Status status =
          Weights::load(options.model_path, residence, cache.get(), model->pool.get(), progress, &model->weights);
      !status.ok())
    return status;
  if (Status status = copy_head(options.head, cache.get(), model.get()); !status.ok()) return status;
  if (cache) {
    const MemoryImage head = model->head ? MemoryImage{model->head->image(), model->head->bytes()} : MemoryImage();
    cache->save(model->weights->packed(), head, progress);
    model->weights_cache = cache->report();
  } else if (!options.weights_cache.empty()) {
    model->weights_cache = std::string("not used: mode ") + mode_name(model->mode) + " packs nothing";
  }
  model->max_context = model->weights->config().max_position_embeddings;
  if (options.max_context > 0) model->max_context = std::min(model->max_context, options.max_context);
  model->load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  *out = std::move(model);
  return {};
}

}  // namespace switchyard
