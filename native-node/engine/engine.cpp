// Engine of include/engine.h: a model and its scheduler behind one face.
#include "engine.h"

#include <new>
#include <system_error>

#include "logits.h"
#include "model.h"
#include "scheduler.h"

namespace switchyard {
namespace {

class LoadedEngine final : public Engine {
 public:
  LoadedEngine(std::unique_ptr<Model> model, std::unique_ptr<Scheduler> scheduler, const EngineOptions& options)
      : model_(std::move(model)), scheduler_(std::move(scheduler)) {
    info_ = model_->info();
    info_.max_context = scheduler_->max_context();
    info_.max_sequences = options.max_sequences;
    info_.speculate = options.speculate;
    info_.kv_bytes = scheduler_->kv_bytes();
    info_.kv_tokens = scheduler_->kv_tokens();
  }

  const EngineInfo& info() const override { return info_; }
  void start(Sink sink) override { scheduler_->start(std::move(sink)); }
  Status submit(GenerateRequest request, uint64_t* sequence) override {
    return scheduler_->submit(std::move(request), sequence);
  }
  void cancel(uint64_t sequence) override { scheduler_->cancel(sequence); }
  EngineStats stats() const override { return scheduler_->stats(); }
  Status logits(const std::vector<int32_t>& ids, size_t prefill, std::vector<float>* out) override {
    return compute_logits(model_.get(), ids, prefill, out);
  }

 private:
  std::unique_ptr<Model> model_;
  std::unique_ptr<Scheduler> scheduler_;  // goes first: its thread uses the model
  EngineInfo info_;
};

}  // namespace

Status Engine::load(const EngineOptions& options, const Progress& progress, std::unique_ptr<Engine>* out) try {
  std::unique_ptr<Model> model;
  std::unique_ptr<Scheduler> scheduler;
  if (Status status = Model::load(options, progress, &model); !status.ok()) return status;
  const SchedulerOptions scheduling{
      .max_sequences = options.max_sequences, .prefill_chunk = options.prefill_chunk, .kv_bytes = options.kv_bytes,
      .speculate = options.speculate};
  if (Status status = Scheduler::create(model.get(), scheduling, &scheduler); !status.ok()) return status;
  *out = std::make_unique<LoadedEngine>(std::move(model), std::move(scheduler), options);
  return {};
} catch (const std::bad_alloc&) {
  return Status::error(Code::out_of_memory, "not enough memory to load " + options.model_path);
} catch (const std::system_error& error) {
  return Status::error(Code::internal, std::string("cannot start the engine: ") + error.what());
}

}  // namespace switchyard
