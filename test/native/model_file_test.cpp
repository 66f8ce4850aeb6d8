// No model file can end the process, whatever happens to it while it is open: every read of a load fails once, or finds the file cut,
// written to or gone, and the load ends in an error that names the file, or in the right model. A model that is loaded needs no file.
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>

#include "gguf_model.h"
#include "logits.h"
#include "model_folder.h"
#include "scheduler_fixture.h"

namespace {

enum class Fault { none, disk, end, act, interrupted };

std::mutex fault_mutex;
Fault fault = Fault::none;
int reads_left = 0;              // before the fault
std::function<void()> fault_act;  // what is done to the file then
std::atomic<int> reads_seen{0};

}  // namespace

// What the engine reads files with.
extern "C" ssize_t pread(int fd, void* to, size_t bytes, off_t offset) {
  const int number = reads_seen++;
  {
    const std::lock_guard lock(fault_mutex);
    const bool is_now = fault != Fault::none && fault != Fault::interrupted && reads_left-- == 0;
    if (is_now && fault == Fault::disk) return errno = EIO, -1;
    if (is_now && fault == Fault::end) return 0;
    if (is_now) fault_act();
    if (fault == Fault::interrupted && number % 2 == 0) return errno = EINTR, -1;
    if (fault == Fault::interrupted) bytes = std::min<size_t>(bytes, 1 + size_t(number) * 37 % 5000);
  }
  const iovec into{to, bytes};
  return preadv(fd, &into, 1, offset);
}

using namespace switchyard;
namespace fs = std::filesystem;

namespace {

class Faulty {
 public:
  explicit Faulty(Fault kind, int reads = 0, std::function<void()> act = {}) {
    const std::lock_guard lock(fault_mutex);
    fault = kind;
    reads_left = reads;
    fault_act = std::move(act);
    reads_seen = 0;
  }
  ~Faulty() {
    const std::lock_guard lock(fault_mutex);
    fault = Fault::none;
  }
};

struct Kind {
  std::string model, mode, dense = "bf16";
};

// The layouts, one and several files, all dtypes, a head that is the embedding, and one whose copy is screened; GGUF, the first in
// two parts.
const Kind kKinds[] = {
    {"tiny-a/hf", "exact"}, {"tiny-a/hf", "bf16"}, {"tiny-a/hf", "fast"},       {"tiny-a/hf", "fast", "int8"},
    {"odd/hf", "exact"},    {"odd/hf", "fast"},    {"tiny-a/original", "fast"}, {"tiny-a/original", "fast", "int8"},
    {"plain/hf", "bf16"},   {"edges/hf", "exact"}, {"tied", "fast"},            {"tied", "exact"},
    {"gguf BF16", "fast"},  {"gguf Q8_0", "fast", "int8"},
};

// A model that was written long ago, so that no later write can have the same time.
class Folder : public ModelFolder {
 public:
  explicit Folder(const Kind& kind) : ModelFolder(golden_of(kind.model)) {
    if (kind.model.starts_with("gguf ")) write_gguf(kind.model.substr(5));
    if (kind.model == "tied") {
      replace("config.json", "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
      for (const auto& file : weights()) {
        if (read_text(file).find("\"lm_head.weight\"") != std::string::npos)
          replace(fs::path(file).filename().string(), "\"lm_head.weight\"", "\"no_head.weight\"");
      }
    }
    for (const auto& file : weights()) fs::last_write_time(file, fs::file_time_type::clock::now() - std::chrono::hours(1));
  }

  std::vector<std::string> weights() const {
    std::vector<std::string> files;
    for (const auto& entry : fs::directory_iterator(path())) {
      if (entry.path().extension() == ".safetensors" || entry.path().extension() == ".gguf") files.push_back(entry.path().string());
    }
    std::sort(files.begin(), files.end());
    return files;
  }
  std::string model_path() const { return is_gguf_ ? weights()[0] : path(); }

 private:
  static std::string golden_of(const std::string& model) { return model == "tied" || model.starts_with("gguf ") ? "tiny-a/hf" : model; }

  void write_gguf(const std::string& type) {
    is_gguf_ = true;
    for (const auto& file : weights()) fs::remove(file);
    GgufBuilder file = GgufModel("tiny-a", {Experts::split, false, type}).builder, second;
    if (type != "BF16") return write_text(path("model.gguf"), file.build());
    while (file.tensors.size() > 30) {
      second.tensor(file.tensors.back());
      file.tensors.pop_back();
    }
    for (auto& [number, part] : {std::pair{0, &file}, std::pair{1, &second}}) {
      part->key("split.no", 2, little_endian(uint16_t(number))).key("split.count", 2, little_endian(uint16_t(2)));
      write_text(path("m-0000" + std::to_string(1 + number) + "-of-00002.gguf"), part->build());
    }
  }

  bool is_gguf_ = false;
};

struct Loaded {
  Status status;
  std::unique_ptr<Model> model;
};

EngineOptions options_for(const Folder& folder, const Kind& kind) {
  EngineOptions options;
  options.model_path = folder.model_path();
  options.mode = kind.mode;
  options.dense = kind.dense;
  options.threads = 2;
  return options;
}

Loaded load(const Folder& folder, const Kind& kind, const std::string& cache = "") {
  EngineOptions options = options_for(folder, kind);
  options.weights_cache = cache;
  Loaded loaded;
  loaded.status = Model::load(options, {}, &loaded.model);
  return loaded;
}

std::vector<float> logits_of(const Loaded& loaded) {
  std::vector<float> logits;
  CHECK_OK(loaded.status);
  if (!loaded.model) return logits;
  const int vocab = loaded.model->weights->config().vocab_size;
  CHECK_OK(compute_logits(loaded.model.get(), random_prompt(12, vocab, 3), 7, &logits));
  return logits;
}

// io_error with the path of one of the folder's files and the reason.
bool is_read_error(const Loaded& loaded, const Folder& folder, const std::string& reason) {
  const std::string& message = loaded.status.message;
  if (CHECK(!loaded.model && loaded.status.code == Code::io_error && message.starts_with(folder.path()) &&
            message.find(reason) != std::string::npos))
    return true;
  std::fprintf(stderr, "  got %s \"%s\", expected \"%s...%s\"\n", code_name(loaded.status.code), message.c_str(),
               folder.path().c_str(), reason.c_str());
  return false;
}

int reads_of_load(const Folder& folder, const Kind& kind) {
  const Faulty none(Fault::none);
  CHECK_OK(load(folder, kind).status);
  return reads_seen;
}

void test_failing_reads(const Kind& kind) {
  const Folder folder(kind);
  const int reads = reads_of_load(folder, kind);
  CHECK(reads > 10);
  for (int i = 0; i < reads; ++i) {
    {
      const Faulty faulty(Fault::disk, i);
      if (!is_read_error(load(folder, kind), folder, ": Input/output error, at byte ")) break;
    }
    const Faulty faulty(Fault::end, i);
    if (!is_read_error(load(folder, kind), folder, " when it was opened (is it being written?)")) break;
  }
  const Faulty beyond(Fault::disk, reads);
  CHECK_OK(load(folder, kind).status);
}

// Whatever of a file is cut off, at any read of the load, all of which it needs.
void test_cuts(const Kind& kind) {
  std::vector<float> expected;
  int reads = 0;
  {
    const Folder folder(kind);
    expected = logits_of(load(folder, kind));
    reads = reads_of_load(folder, kind);
  }
  const size_t files = Folder(kind).weights().size();
  for (int i = 0; i < reads; i += 1 + i / 16) {
    for (const double part : {0.0, 0.5, 1.0}) {
      const Folder folder(kind);
      const std::string file = folder.weights()[size_t(i) % files];
      const auto cut = [&] { fs::resize_file(file, part == 1 ? fs::file_size(file) - 1 : uintmax_t(double(fs::file_size(file)) * part)); };
      const Faulty faulty(Fault::act, i, cut);
      const Loaded loaded = load(folder, kind);
      // Before a file is opened it is merely a short one.
      if (loaded.status.code == Code::invalid_file) CHECK(loaded.status.message.starts_with(folder.path()));
      else is_read_error(loaded, folder, "");
    }
  }
}

void overwrite(const std::string& file, char byte) {
  const std::string text(fs::file_size(file), byte);
  std::fstream(file, std::ios::binary | std::ios::in | std::ios::out).write(text.data(), std::streamsize(text.size()));
}

// Other bytes in the same file, whose size stays; and another file in its place, or none.
void test_replaced_while_read(const Kind& kind) {
  const Folder whole(kind);
  const std::vector<float> expected = logits_of(load(whole, kind));
  const int reads = reads_of_load(whole, kind), opened = 8;  // by then all files are open
  for (int i = opened; i < reads; i += 1 + i / 8) {
    {
      const Folder folder(kind);
      const Faulty faulty(Fault::act, i, [&] { overwrite(folder.weights().back(), 1); });
      is_read_error(load(folder, kind), folder, ": was changed while it was read");
    }
    {
      const Folder folder(kind);
      const Faulty faulty(Fault::act, i, [&] {
        for (const auto& file : folder.weights()) {
          write_text(file + ".new", "another");
          fs::rename(file + ".new", file);
        }
      });
      CHECK(logits_of(load(folder, kind)) == expected);
    }
    const Folder folder(kind);
    const Faulty faulty(Fault::act, i, [&] { fs::remove_all(folder.path()); });
    CHECK(logits_of(load(folder, kind)) == expected);
  }
}

// Reads that are interrupted by signals, and give less than they were asked for.
void test_odd_reads(const Kind& kind) {
  const Folder folder(kind);
  const std::vector<float> expected = logits_of(load(folder, kind));
  const Faulty faulty(Fault::interrupted);
  CHECK(logits_of(load(folder, kind)) == expected);
  CHECK(reads_seen > 200);
}

// Whether this process maps or has open a file of the folder.
bool holds_files(const Folder& folder) {
#ifdef __linux__
  if (read_text("/proc/self/maps").find(folder.path()) != std::string::npos) return true;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    if (fs::read_symlink(entry.path(), error).string().starts_with(folder.path())) return true;
  }
#endif
  return false;
}

void test_loaded(const Kind& kind) {
  const std::function<void(const std::string& file)> ends[] = {
      [](const std::string& file) { fs::resize_file(file, 0); },
      [](const std::string& file) { fs::resize_file(file, fs::file_size(file) / 2); },
      [](const std::string& file) { overwrite(file, char(0x7f)); },
      [](const std::string& file) { write_text(file + ".new", "another"), fs::rename(file + ".new", file); },
      [](const std::string& file) { fs::remove(file); },
  };
  for (const auto& end : ends) {
    const Folder folder(kind);
    const Loaded loaded = load(folder, kind);
    CHECK(!holds_files(folder));
    const std::vector<float> before = logits_of(loaded);
    if (!loaded.model) return;
    loaded.model->max_context = 256;
    const int vocab = loaded.model->weights->config().vocab_size;
    const GenerateRequest request = request_of(random_prompt(9, vocab, 5), 60), other = request_of(random_prompt(40, vocab, 6), 20);
    const Answer alone = run_alone(loaded.model.get(), request), next = run_alone(loaded.model.get(), other);
    Runner runner(loaded.model.get(), {.max_sequences = 2});
    const uint64_t first = runner.submit(request);
    runner.wait_for(first, 10);
    for (const auto& file : folder.weights()) end(file);
    const uint64_t second = runner.submit(other);
    runner.wait_all();
    CHECK(runner.answer(first).ids == alone.ids && runner.answer(second).ids == next.ids);
    CHECK_EQ(alone.ids.size(), size_t(60));
    CHECK(logits_of(loaded) == before);
  }
}

// While a model loads its files are open, and not mapped.
void test_nothing_is_mapped(const Kind& kind) {
#ifdef __linux__
  const Folder folder(kind);
  int looks = 0;
  const auto look = [&](double) {
    ++looks;
    CHECK(holds_files(folder));
    CHECK(read_text("/proc/self/maps").find(folder.path()) == std::string::npos);
  };
  std::unique_ptr<Model> model;
  CHECK_OK(Model::load(options_for(folder, kind), look, &model));
  CHECK(looks > 0 || kind.model == "plain/hf" || kind.model == "edges/hf");  // these are converted as they are read
#endif
}

// The file of packed weights: where it cannot be read the checkpoint is.
void test_packed_file(const Kind& kind) {
  const Folder folder(kind);
  const std::vector<float> expected = logits_of(load(folder, kind));
  const auto packed = [&] { return folder.path("switchyard-" + (kind.dense == "int8" ? kind.dense : "tiled") + ".weights"); };
  const Loaded written = load(folder, kind, folder.path());
  CHECK(written.model && written.model->weights_cache.starts_with("written to "));
  const std::string whole = read_text(packed());
  int reads = 0;
  {
    const Faulty none(Fault::none);
    CHECK(logits_of(load(folder, kind, folder.path())) == expected);
    reads = reads_seen;
  }
  int rebuilt = 0;
  for (int i = 0; i < reads; ++i) {
    for (const Fault kind_of : {Fault::disk, Fault::end, Fault::act}) {
      const Faulty faulty(kind_of, i, [&] { fs::resize_file(packed(), whole.size() / 2); });
      const Loaded loaded = load(folder, kind, folder.path());
      if (loaded.status.ok()) {
        CHECK(logits_of(loaded) == expected);
        rebuilt += loaded.model->weights_cache.starts_with("written to ");
      } else {
        is_read_error(loaded, folder, "");
      }
      fs::remove(packed());
      write_text(packed(), whole);
    }
  }
  CHECK(rebuilt > 5);
}

}  // namespace

int main() {
  for (const Kind& kind : kKinds) {
    const int before = check_failures();
    test_failing_reads(kind);
    test_cuts(kind);
    test_replaced_while_read(kind);
    test_odd_reads(kind);
    test_loaded(kind);
    test_nothing_is_mapped(kind);
    if (check_failures() != before)
      std::fprintf(stderr, "  of %s, %s, %s\n", kind.model.c_str(), kind.mode.c_str(), kind.dense.c_str());
  }
  test_packed_file({"tiny-a/hf", "fast"});
  test_packed_file({"tiny-a/original", "fast", "int8"});
  return check_result();
}
