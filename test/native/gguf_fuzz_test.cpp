// Whole GGUF models with something wrong in their structure: keys of other types and values, tensors of other names, types, shapes and
// places, cut and changed bytes. Each is loaded as a user would, in every mode, and where that goes well, it generates: whatever
// happens, it ends in time, in a Status, and takes no memory that so small a file does not explain.
// GGUF_FUZZ=N for a longer run, GGUF_FUZZ_SEED=N for another.
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>

#include "engine.h"
#include "gguf_model.h"
#include "memory.h"
#include "tokenizer.h"

using namespace switchyard;

namespace {

using Random = std::mt19937_64;

constexpr int64_t kMostMemory = int64_t(700) << 20;  // mostly what the default KV cache's blocks are counted with
constexpr std::chrono::seconds kMostTime{20};

constexpr uint64_t kLikely[] = {0,        1,          2,          3,          16,         31,         32,         33,       64,
                                255,      1 << 15,    65535,      65536,      1 << 20,    1 << 24,    1ull << 31, (1ull << 31) - 1,
                                1ull << 32, 1ull << 40, 1ull << 48, 1ull << 62, 1ull << 63, UINT64_MAX, UINT64_MAX - 1};
constexpr uint32_t kFloats[] = {0,          0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 1,
                                0x00800000, 0x7f7fffff, 0x4b800000, 0x3a83126f, 0x49742400, 0x42000000};

template <typename T, size_t N>
T one_of(const T (&values)[N], Random* random) {
  return values[(*random)() % N];
}

template <typename T>
T& one_of(std::vector<T>& values, Random* random) {
  return values[(*random)() % values.size()];
}

// A value of any type, alone or as an array, of one that is likely to be at a border.
std::string any_value(Random* random) {
  constexpr size_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  const auto type = uint32_t((*random)() % 14);
  const auto item = [&](uint32_t of) {
    if (of == 8) return gguf_string(std::string((*random)() % 20, "yarn\n\x1b\xff "[(*random)() % 8]));
    const uint64_t value = of == 6 ? one_of(kFloats, random) : one_of(kLikely, random);
    return of < std::size(kBytes) ? little_endian(value).substr(0, kBytes[of]) : little_endian(value);
  };
  if (type != 9) return little_endian(type) + item(type);
  const auto of = uint32_t((*random)() % 13);
  const uint64_t count = (*random)() % 8 == 0 ? one_of(kLikely, random) : (*random)() % 40;
  std::string bytes = little_endian(type) + little_endian(of) + little_endian(count);
  for (uint64_t i = 0; i < std::min<uint64_t>(count, 64); ++i) bytes += item(of);
  return bytes;
}

void change_key(GgufBuilder* file, Random* random) {
  if (file->keys.empty()) return;
  GgufBuilder::Key& key = one_of(file->keys, random);
  const GgufBuilder::Key other = one_of(file->keys, random);
  switch ((*random)() % 8) {
    case 0: key.value = any_value(random); break;
    case 1: file->remove(std::string(key.name)); break;
    case 2: file->keys.push_back(other); break;
    case 3: key.value = other.value; break;
    case 4: key.name = other.name.substr(0, (*random)() % 30); break;
    default: {  // another value of the same type
      if (key.value.size() < 8) break;
      const uint64_t value = key.value[0] == 6 ? one_of(kFloats, random) : one_of(kLikely, random);
      const size_t at = key.value[0] == 9 ? 4 + (*random)() % (key.value.size() - 4) : 4;
      std::memcpy(&key.value[at], &value, std::min<size_t>(8, key.value.size() - at));
    }
  }
}

void change_data(std::string* data, Random* random) {
  if (data->size() < 16) return;
  for (uint64_t changes = 1 + (*random)() % 20; changes > 0; --changes) {
    const uint32_t bits = one_of(kFloats, random);
    const size_t at = (*random)() % (data->size() - 4);
    std::memcpy(&(*data)[(*random)() % 2 ? at & ~size_t(3) : at], &bits, 4);
  }
}

void change_tensor(GgufBuilder* file, Random* random) {
  if (file->tensors.empty()) return;
  constexpr uint32_t kTypes[] = {0, 1, 2, 4, 5, 8, 12, 24, 26, 28, 30, 39, 40, 1000};
  GgufBuilder::Tensor& tensor = one_of(file->tensors, random);
  const GgufBuilder::Tensor other = one_of(file->tensors, random);
  switch ((*random)() % 12) {
    case 0: tensor.type = one_of(kTypes, random); break;
    case 1:
      if (!tensor.shape.empty()) one_of(tensor.shape, random) = one_of(kLikely, random);
      break;
    case 2: std::shuffle(tensor.shape.begin(), tensor.shape.end(), *random); break;
    case 3: tensor.shape.insert(tensor.shape.begin() + int64_t((*random)() % (tensor.shape.size() + 1)), (*random)() % 2 ? 1 : 2); break;
    case 4:
      if (!tensor.shape.empty()) tensor.shape.pop_back();
      break;
    case 5: tensor.shift = int64_t((*random)() % 2 ? one_of(kLikely, random) : 32 * (*random)() % 4096 - 65536); break;
    case 6: tensor.data.resize((*random)() % (tensor.data.size() + 64)); break;
    case 7: tensor.name = (*random)() % 2 ? other.name : other.name.substr(0, (*random)() % 64); break;
    case 8: file->tensors.push_back(other); break;
    case 9: std::swap(tensor.shape, one_of(file->tensors, random).shape); break;
    default: change_data(&tensor.data, random);
  }
}

// Of whole tensors and keys, then of the file's bytes.
std::string changed(const GgufBuilder& good, Random* random) {
  GgufBuilder file = good;
  for (uint64_t changes = (*random)() % 4; changes > 0; --changes) {
    switch ((*random)() % 9) {
      case 0:
        if ((*random)() % 4 == 0) file.version = uint32_t(one_of(kLikely, random));
        break;
      case 1:
        if ((*random)() % 4 == 0) file.more_tensors = int64_t(one_of(kLikely, random));
        break;
      case 2:
        if ((*random)() % 4 == 0) file.more_keys = int64_t(one_of(kLikely, random));
        break;
      case 3:
      case 4:
      case 5: change_key(&file, random); break;
      default: change_tensor(&file, random);
    }
  }
  std::string bytes = file.build();
  if ((*random)() % 3 != 0) return bytes;
  const size_t header = std::min<size_t>(bytes.size(), 6000);
  for (uint64_t changes = (*random)() % 3; changes > 0; --changes) {
    const uint64_t number = one_of(kLikely, random);
    const size_t at = (*random)() % header;
    std::memcpy(&bytes[at], &number, std::min<size_t>((*random)() % 2 ? 1 : 8, bytes.size() - at));
  }
  if ((*random)() % 8 == 0) bytes.resize((*random)() % bytes.size());
  return bytes;
}

// Ends of generation that were told to the sink.
struct Ending {
  std::mutex mutex;
  std::condition_variable told;
  Finish finish = Finish::none;
  Status error;
};

void generate(Engine* engine, Random* random) {
  const int vocab = engine->info().vocab_size;
  Ending ending;
  engine->start([&](std::vector<TokenEvent>&& events) {
    const std::lock_guard lock(ending.mutex);
    for (const TokenEvent& event : events) {
      for (const int32_t id : event.ids) CHECK(id >= 0 && id < vocab);
      if (event.finish == Finish::none) continue;
      ending.finish = event.finish;
      ending.error = event.error;
    }
    ending.told.notify_all();
  });
  GenerateRequest request;
  for (int i = 0; i < 5; ++i) request.prompt.push_back(int32_t((*random)() % uint64_t(vocab)));
  request.max_tokens = 4;
  uint64_t sequence = 0;
  if (const Status status = engine->submit(request, &sequence); !status.ok()) {
    CHECK(status.code == Code::invalid_argument);  // a context of five
    return;
  }
  std::unique_lock lock(ending.mutex);
  if (!CHECK(ending.told.wait_for(lock, kMostTime, [&] { return ending.finish != Finish::none; }))) std::abort();
  if (ending.finish == Finish::error) CHECK(ending.error.message.find("not finite") != std::string::npos);
}

EngineOptions any_options(const std::string& path, Random* random) {
  constexpr const char* kModes[] = {"exact", "bf16", "fast", "fast"};
  EngineOptions options;
  options.model_path = path;
  options.mode = one_of(kModes, random);
  options.dense = options.mode == "fast" && (*random)() % 2 ? "int8" : "bf16";
  options.head = options.mode != "exact" && (*random)() % 4 == 0 ? "screened" : "auto";
  options.threads = 2;
  return options;
}

bool is_expected(Code code) {
  return code == Code::invalid_file || code == Code::unsupported || code == Code::invalid_argument || code == Code::out_of_memory;
}

struct Outcome {
  int loaded = 0, tokenizers = 0;
};

void try_file(const std::string& path, Random* random, Outcome* outcome) {
  std::unique_ptr<Tokenizer> tokenizer;
  const Status read = Tokenizer::load_gguf(path, &tokenizer);
  CHECK(read.ok() || is_expected(read.code));
  if (tokenizer) {
    std::vector<int32_t> ids;
    tokenizer->encode("the <|start|>\n\xff\xfe th", &ids);
    std::string text;
    for (const int32_t id : ids) text += tokenizer->token_bytes(id);
    CHECK_EQ(text, std::string("the <|start|>\n\xff\xfe th"));
    outcome->tokenizers++;
  }
  std::unique_ptr<Engine> engine;
  const Status status = Engine::load(any_options(path, random), {}, &engine);
  CHECK(status.ok() == bool(engine) && (status.ok() || is_expected(status.code)));
  if (!status.ok() && !CHECK(status.message.find_first_of("\n\x1b\xff") == std::string::npos))
    std::fprintf(stderr, "  \"%s\"\n", status.message.c_str());
  if (!engine) return;
  outcome->loaded++;
  generate(engine.get(), random);
}

int setting(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text ? std::atoi(text) : otherwise;
}

}  // namespace

int main() {
  const GgufForm forms[] = {{Experts::split, false, "BF16"}, {Experts::fused, true, "Q8_0"}, {Experts::ollama, true, "F32"}};
  std::vector<GgufBuilder> models;
  for (const GgufForm& form : forms) {
    models.push_back(GgufModel("tiny-a", form).builder);
    models.back().tokenizer({{"th", 1}, {"the", 1}, {"<|start|>", 3}, {"<|return|>", 4}}, {"t h", "th e"});
    models.back().u32("tokenizer.ggml.eos_token_id", 259);
  }
  models.push_back(GgufModel("plain", {Experts::split, false, "F32", "Q8_0"}).builder);
  const int rounds = setting("GGUF_FUZZ", 300), seed = setting("GGUF_FUZZ_SEED", 1);
  const ScratchFolder folder;
  Outcome outcome;
  std::chrono::steady_clock::duration slowest{};
  for (int round = 0; round < rounds; ++round) {
    Random random(uint64_t(seed) << 32 | uint64_t(round));
    const std::string path = folder.write("model.gguf", changed(one_of(models, &random), &random));
    const int before = check_failures();
    const auto begin = std::chrono::steady_clock::now();
    try_file(path, &random, &outcome);
    slowest = std::max(slowest, std::chrono::steady_clock::now() - begin);
    if (check_failures() != before) std::fprintf(stderr, "  in round %d\n", round);
  }
  CHECK(slowest < kMostTime);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  CHECK(peak_rss() < kMostMemory);
#endif
  std::printf("%d files: %d loaded, %d tokenizers, slowest %.2f s, peak %lld MB\n", rounds, outcome.loaded, outcome.tokenizers,
              std::chrono::duration<double>(slowest).count(), static_cast<long long>(peak_rss() >> 20));
  CHECK(outcome.loaded > rounds / 20 && outcome.loaded < rounds && outcome.tokenizers > rounds / 20);
  return check_result();
}
