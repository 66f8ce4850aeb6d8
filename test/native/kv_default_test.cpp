// The size of the KV cache that nobody chose: half of what the loaded weights leave free, and no more than is of use.
#include <unistd.h>

#include <fstream>

#include "gguf_model.h"
#include "memory.h"
#include "scheduler.h"

namespace {

int64_t machine_bytes = 0;  // of a machine that has nothing else to do

int64_t resident() {
  std::ifstream statm("/proc/self/statm");
  int64_t all = 0, pages = 0;
  statm >> all >> pages;
  return pages * int64_t(sysconf(_SC_PAGESIZE));
}

}  // namespace

namespace switchyard {
// In place of memory.cpp's.
int64_t available_memory(const std::string&) { return machine_bytes - resident(); }
int64_t peak_rss() { return 0; }
}  // namespace switchyard

using namespace switchyard;

namespace {

constexpr int64_t kMega = int64_t(1) << 20, kGiga = int64_t(1) << 30;
constexpr uint64_t kVocabulary = 1 << 20, kWidth = 64;
constexpr int64_t kHead = kVocabulary * kWidth * 2;  // bytes, and the embedding has as many

// The vocabulary's tensors are to follow.
void make_wide(GgufBuilder* file) {
  std::erase_if(file->tensors, [](const auto& tensor) { return tensor.name == "token_embd.weight" || tensor.name == "output.weight"; });
  file->remove("gpt-oss.vocab_size").u32("gpt-oss.vocab_size", kVocabulary);
}

// tiny-a with a vocabulary of a million and a context of 16 million tokens; the file is mostly a hole.
std::string write_model(const ScratchFolder& folder) {
  GgufModel model("tiny-a", {});
  GgufBuilder& file = model.builder;
  make_wide(&file);
  file.remove("gpt-oss.context_length").u32("gpt-oss.context_length", 1 << 24);
  file.tensor({"token_embd.weight", 30, {kVocabulary, kWidth}, "", kHead});
  file.tensor({"output.weight", 30, {kVocabulary, kWidth}, "", 2 * kHead});
  const std::string path = folder.write("model.gguf", file.build());
  std::filesystem::resize_file(path, std::filesystem::file_size(path) + 3 * kHead);
  return path;
}

int64_t default_kv(Model* model, SchedulerOptions options) {
  std::unique_ptr<Scheduler> scheduler;
  return CHECK_OK(Scheduler::create(model, options, &scheduler)) ? scheduler->kv_bytes() : 0;
}

bool is_near(int64_t bytes, int64_t expected) {
  if (CHECK(std::abs(bytes - expected) < 24 * kMega)) return true;
  std::fprintf(stderr, "  %lld MB, expected %lld MB\n", static_cast<long long>(bytes / kMega), static_cast<long long>(expected / kMega));
  return false;
}

void test_default(const std::string& path, const std::string& mode) {
  machine_bytes = 8 * kGiga;
  const int64_t before = resident();
  std::unique_ptr<Model> model;
  EngineOptions engine{.model_path = path, .mode = mode, .head = "exact", .threads = 2};
  if (!CHECK_OK(Model::load(engine, {}, &model))) return;
  // Whatever is not in memory by now would be promised twice.
  CHECK(resident() - before > 2 * kHead - 16 * kMega);
  const SchedulerOptions options{.max_sequences = 4};
  is_near(default_kv(model.get(), options), (machine_bytes - resident()) / 2);
  machine_bytes = resident() + 100 * kMega;
  is_near(default_kv(model.get(), options), 50 * kMega);

  const auto needed = [&](int64_t tokens) {
    return KvCache::bytes_for(model->weights->config(), kv_element_bytes(model->mode), tokens, options.prefill_chunk);
  };
  // Short of memory, a context of a thousand tokens is tried for.
  model->max_context = 4096;
  machine_bytes = 0;
  CHECK_EQ(default_kv(model.get(), options), needed(4096) / 4);
  // With enough of it, the cache is what four full contexts need; or what was asked for.
  machine_bytes = 8 * kGiga;
  CHECK_EQ(default_kv(model.get(), options), 4 * needed(4096));
  CHECK_EQ(default_kv(model.get(), {.max_sequences = 4, .kv_bytes = needed(1000)}), needed(1000));
  // However much there is, the lists of its blocks stay small.
  model->max_context = 1 << 24;
  machine_bytes = 4096 * kGiga;
  const int64_t block = KvCache::bytes_for(model->weights->config(), kv_element_bytes(model->mode), 1, 1) / 3;
  CHECK_EQ(default_kv(model.get(), {.max_sequences = 4096}), block << 24);

  machine_bytes = 8 * kGiga;
  model.reset();
  std::unique_ptr<Engine> whole;
  engine.threads = 1;
  if (CHECK_OK(Engine::load(engine, {}, &whole))) CHECK(std::abs(whole->info().kv_bytes - (machine_bytes - resident()) / 2) < kHead / 2);
}

// What numbers are converted to counts as well, before it is taken.
void test_conversions() {
  const ScratchFolder folder;
  GgufModel model("tiny-a", {});
  make_wide(&model.builder);
  model.builder.tensor({"token_embd.weight", 0, {kVocabulary, kWidth}, "", kHead});
  const std::string path = folder.write("model.gguf", model.builder.build());
  std::filesystem::resize_file(path, std::filesystem::file_size(path) + 3 * kHead);
  const int64_t before = resident();
  machine_bytes = before + 3 * kHead + 200 * kMega;
  std::unique_ptr<Model> loaded;
  const Status status = Model::load({.model_path = path, .mode = "exact", .head = "exact", .threads = 2}, {}, &loaded);
  CHECK(status.code == Code::out_of_memory);
  if (!CHECK(status.message.find("the numbers of tensor \"token_embd.weight\" need 0.500 GB") != std::string::npos))
    std::fprintf(stderr, "  \"%s\"\n", status.message.c_str());
  CHECK(resident() - before < kHead);
  machine_bytes = before + 3 * kHead + 600 * kMega;
  CHECK_OK(Model::load({.model_path = path, .mode = "exact", .head = "exact", .threads = 2}, {}, &loaded));
}

}  // namespace

int main() {
#ifdef __linux__
  const ScratchFolder folder;
  const std::string path = write_model(folder);
  for (const char* mode : {"exact", "fast"}) test_default(path, mode);
  test_conversions();
#endif
  return check_result();
}
