// A cache of packed weights gives what packing gives, bit for bit, or is refused: whatever happened to it, to the checkpoint or to
// the disk, the model that loads is the same.
#include "weight_cache.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <random>
#include <thread>

#include "checksum.h"
#include "logits.h"
#include "model.h"
#include "model_fixture.h"

#ifdef __linux__
#include <sched.h>
#include <sys/mount.h>
#endif

using namespace switchyard;
namespace fs = std::filesystem;

namespace {

const std::string kIsas[] = {"scalar", "avx2", "avx512", "neon"};

class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("switchyard-cache-" + std::to_string(std::random_device()()))) {
    fs::create_directory(path_);
  }
  explicit Folder(const std::string& model) : Folder() {
    fs::copy(golden_folder() + model, path_, fs::copy_options::recursive);
  }
  ~Folder() { fs::remove_all(path_); }
  std::string path(const std::string& name = "") const { return (path_ / name).string(); }
  // The one file of weights that is there.
  std::string file() const {
    std::string found;
    for (const auto& entry : fs::directory_iterator(path_)) {
      if (entry.path().extension() == ".weights") CHECK(found.empty()), found = entry.path().string();
    }
    CHECK(!found.empty());
    return found;
  }

 private:
  fs::path path_;
};

using Bytes = std::vector<uint8_t>;

// Everything that the products read.
Bytes content(const Model& model) {
  Bytes all;
  const auto add = [&](const void* data, size_t bytes) {
    all.insert(all.end(), static_cast<const uint8_t*>(data), static_cast<const uint8_t*>(data) + bytes);
  };
  model.weights->for_each_decode_buffer(add);
  if (model.head) add(model.head->image(), model.head->bytes());
  return all;
}

struct Loaded {
  Bytes bytes;
  std::vector<float> logits;
  std::string report;
  Status status;
};

Loaded load(EngineOptions options, const std::string& cache, const Engine::Progress& progress = {}) {
  options.threads = 2;
  options.weights_cache = cache;
  std::unique_ptr<Model> model;
  Loaded loaded;
  loaded.status = Model::load(options, progress, &model);
  if (!model) return loaded;
  loaded.bytes = content(*model);
  loaded.report = model->weights_cache;
  std::vector<int32_t> ids(20);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = int32_t(i * 7 % 64);
  CHECK_OK(compute_logits(model.get(), ids, 0, &loaded.logits));
  return loaded;
}

// `report` begins with the one word and holds the other.
void check_report(const Loaded& loaded, const std::string& begin, const std::string& part = "") {
  if (!CHECK(loaded.report.starts_with(begin) && loaded.report.find(part) != std::string::npos))
    std::fprintf(stderr, "  \"%s\" is not \"%s...%s\"\n", loaded.report.c_str(), begin.c_str(), part.c_str());
}

void check_same(const Loaded& one, const Loaded& other) {
  CHECK_OK(one.status);
  CHECK_OK(other.status);
  CHECK(one.bytes == other.bytes);
  CHECK(one.logits == other.logits);
}

void test_hit_is_miss(const std::string& model, const std::string& isa, const std::string& dense, const std::string& head) {
  EngineOptions options{.model_path = golden_folder() + model, .isa = isa, .head = head, .dense = dense};
  const Loaded plain = load(options, "");
  CHECK(plain.report.empty());
  const Folder cache;
  const Loaded first = load(options, cache.path());
  if (!plain.status.ok()) {  // int8 of what cannot be int8
    CHECK(first.status.code == plain.status.code && fs::is_empty(cache.path()));
    return;
  }
  check_report(first, "written to ", "(there was none)");
  check_same(plain, first);
  const Loaded second = load(options, cache.path());
  check_report(second, "read from ");
  check_same(plain, second);
}

// What one instruction set has written serves all.
void test_shared(const std::string& model) {
  const Folder cache;
  bool written = false;
  for (const std::string& isa : kIsas) {
    EngineOptions options{.model_path = golden_folder() + model, .isa = isa, .head = "screened", .dense = "int8"};
    const Loaded plain = load(options, "");
    if (plain.status.code == Code::unsupported) continue;  // not on this machine
    const Loaded cached = load(options, cache.path());
    check_report(cached, written ? "read from " : "written to ");
    check_same(plain, cached);
    written = true;
  }
}

void test_modes_without() {
  for (const std::string mode : {"exact", "bf16"}) {
    const Folder cache;
    check_report(load({.model_path = golden_folder() + "tiny-a/hf", .mode = mode}, cache.path()), "not used: mode " + mode);
    CHECK(fs::is_empty(cache.path()));
  }
}

void test_names() {
  const Folder model("tiny-a/hf"), other("tiny-a/hf"), cache;
  check_report(load({.model_path = model.path()}, model.path()), "written to " + model.path() + "/switchyard-tiled.weights");
  CHECK(fs::exists(model.path("switchyard-tiled.weights")));
  check_report(load({.model_path = model.path(), .dense = "int8"}, model.path()), "written to ", "switchyard-int8.weights");
  check_report(load({.model_path = model.path()}, model.path()), "read from ");
  // Two models share a folder, which need not be there.
  const std::string folder = cache.path("new");
  for (const char* word : {"written to ", "read from "}) {
    for (const Folder* one : {&model, &other}) check_report(load({.model_path = one->path()}, folder), word);
  }
}

// A copy of the head is added to a file that has none, and a file that has one serves without.
void test_head() {
  const Folder cache;
  const auto with = [&](const char* head) {
    return load({.model_path = golden_folder() + "tiny-b/hf", .head = head}, cache.path());
  };
  check_report(with("exact"), "written to ");
  check_report(with("screened"), "written to ", "(the old one had no copy of the head)");
  check_report(with("screened"), "read from ");
  check_report(with("exact"), "read from ");
}

constexpr WeightFileKey kKey{11, 22};
constexpr size_t kHeaderBytes = 64, kSumsAt = 4096;

struct Images {
  Bytes weights, head;
};

// Not multiples of a block or a piece.
Images random_images(size_t weights = 700'001, size_t head = 300'003, uint32_t seed = 1) {
  std::mt19937 random(seed);
  Images images{Bytes(weights), Bytes(head)};
  for (Bytes* bytes : {&images.weights, &images.head}) {
    for (uint8_t& byte : *bytes) byte = uint8_t(random());
  }
  return images;
}

Status write(const std::string& path, const Images& images, const WeightFileKey& key = kKey) {
  return WeightFile::write(path, key,
                           {MemoryImage{images.weights.data(), images.weights.size()},
                            MemoryImage{images.head.data(), images.head.size()}},
                           {});
}

// What a reader gets; `ok` only where both images are right, which must be as they were written.
Status read(const std::string& path, const Images& images, ThreadPool* pool) {
  std::unique_ptr<WeightFile> file;
  if (Status status = WeightFile::open(path, kKey, &file); !status.ok()) return status;
  for (size_t i = 0; i < WeightFile::kImages; ++i) {
    const Bytes& wanted = i == 0 ? images.weights : images.head;
    if (file->bytes(i) != wanted.size()) return Status::error(Code::internal, "another size");
    Bytes got(wanted.size());
    if (Status status = file->read(i, pool, {}, got.data()); !status.ok()) return status;
    if (got != wanted) return Status::error(Code::internal, "wrong bytes were taken for right");
  }
  return {};
}

void check_refused(const Status& status, const std::string& what) {
  if (!CHECK(status.code == Code::invalid_file || status.code == Code::io_error))
    std::fprintf(stderr, "  %s: \"%s\"\n", what.c_str(), status.message.c_str());
}

void test_damage() {
  const Folder folder;
  const Images images = random_images();
  ThreadPool pool(2);
  const std::string path = folder.path("a"), broken = folder.path("b");
  CHECK(read(path, images, &pool).code == Code::not_found);
  CHECK_OK(write(path, images));
  CHECK_OK(read(path, images, &pool));
  const std::string whole = read_text(path);
  std::mt19937 random(3);

  std::vector<size_t> places;
  for (size_t at = 0; at < kHeaderBytes; ++at) places.push_back(at);
  for (size_t at = kSumsAt; at < kSumsAt + 5 * 8; ++at) places.push_back(at);
  for (size_t at = 2 * kSumsAt; at < 2 * kSumsAt + images.weights.size(); at += 9973) places.push_back(at);
  places.push_back(2 * kSumsAt + images.weights.size() - 1);
  for (const size_t at : places) {
    std::string text = whole;
    text[at] = char(text[at] ^ 1 << random() % 8);
    write_text(broken, text);
    check_refused(read(broken, images, &pool), "a bit at " + std::to_string(at));
  }
  for (size_t length = 0; length < whole.size(); length += length < 200 ? 1 : 7919) {
    write_text(broken, whole.substr(0, length));
    check_refused(read(broken, images, &pool), "cut at " + std::to_string(length));
  }
  write_text(broken, whole + "x");
  check_refused(read(broken, images, &pool), "a byte more");
  std::string text = whole;  // two blocks that changed places
  for (size_t i = 0; i < 1 << 18; ++i) std::swap(text[2 * kSumsAt + i], text[2 * kSumsAt + (1 << 18) + i]);
  write_text(broken, text);
  check_refused(read(broken, images, &pool), "exchanged blocks");
  // One that is cut while it is read.
  std::unique_ptr<WeightFile> file;
  write_text(broken, whole);
  if (CHECK_OK(WeightFile::open(broken, kKey, &file))) {
    fs::resize_file(broken, whole.size() / 2);
    Bytes to(images.weights.size());
    CHECK(file->read(0, &pool, {}, to.data()).code == Code::io_error);
  }
}

// A header with numbers of one's own, whose checksum is right.
std::string with_numbers(std::string text, const std::vector<std::pair<size_t, uint64_t>>& numbers) {
  for (const auto& [place, number] : numbers) std::memcpy(text.data() + 8 * place, &number, sizeof number);
  uint64_t magic = 0;
  std::memcpy(&magic, text.data(), sizeof magic);
  const uint64_t check = checksum(text.data(), kHeaderBytes - 8, magic);
  std::memcpy(text.data() + kHeaderBytes - 8, &check, sizeof check);
  return text;
}

void test_hostile_numbers() {
  const Folder folder;
  const Images images = random_images();
  ThreadPool pool(2);
  const std::string path = folder.path("a");
  CHECK_OK(write(path, images));
  const std::string whole = read_text(path);
  write_text(path, with_numbers(whole, {}));
  CHECK_OK(read(path, images, &pool));
  const auto refused = [&](const std::vector<std::pair<size_t, uint64_t>>& numbers, const std::string& reason) {
    write_text(path, with_numbers(whole, numbers));
    const Status status = read(path, images, &pool);
    check_refused(status, reason);
    if (!CHECK(status.message.find(reason) != std::string::npos)) std::fprintf(stderr, "  %s\n", status.message.c_str());
  };
  refused({{1, 2}}, "another version");
  refused({{2, 12}}, "other weights");
  refused({{3, 23}}, "another layout");
  std::mt19937_64 random(5);
  for (const size_t place : {4, 5}) {
    for (int shift = 0; shift < 64; ++shift) {
      refused({{place, uint64_t(1) << shift}}, "the old one was ");
      refused({{place, ~uint64_t(0) >> shift}}, "the old one was ");
      refused({{place, random() >> shift}}, "the old one was ");
    }
  }
  // As large on the disk as it says, and nothing in it.
  write_text(path, with_numbers(whole, {{4, uint64_t(1) << 33}, {5, 0}}).substr(0, kSumsAt));
  fs::resize_file(path, 2 * kSumsAt + (uint64_t(1) << 33) + ((uint64_t(1) << 15) * 8 - kSumsAt));
  check_refused(read(path, images, &pool), "a hole");
}

void test_damaged_model(const EngineOptions& options) {
  const Folder cache;
  const Loaded plain = load(options, "");
  load(options, cache.path());
  const std::string path = cache.file(), whole = read_text(path);
  std::mt19937 random(9);
  for (int round = 0; round < 12; ++round) {
    std::string text = whole;
    if (round % 3 == 0) text.resize(random() % text.size());
    // The last byte is the head's, where it has a copy.
    else text[round % 3 == 1 ? text.size() - 1 - random() % 4096 - 4096 : text.size() / 2] ^= 0x10;
    write_text(path, text);
    const Loaded rebuilt = load(options, cache.path());
    check_same(plain, rebuilt);
    check_report(rebuilt, "written to ", "(the old one was ");
    const Loaded again = load(options, cache.path());
    check_same(plain, again);
    check_report(again, "read from ");
  }
}

// Right checksums of wrong bytes.
void test_forged_model(const EngineOptions& options) {
  const Folder cache;
  const Loaded plain = load(options, "");
  load(options, cache.path());
  const std::string path = cache.file();
  const std::string text = read_text(path);
  uint64_t numbers[8];
  std::memcpy(numbers, text.data(), sizeof numbers);
  for (const int fill : {0, 255, -1}) {
    for (const bool head : {false, true}) {
      if (head && numbers[5] == 0) continue;
      // The other image is as it was.
      const size_t blocks = (numbers[4] + (1 << 18) - 1) / (1 << 18) + (numbers[5] + (1 << 18) - 1) / (1 << 18);
      const size_t first = (kSumsAt + blocks * 8 + 4095) / 4096 * 4096, second = first + (numbers[4] + 4095) / 4096 * 4096;
      Images images{Bytes(text.begin() + ptrdiff_t(first), text.begin() + ptrdiff_t(first + numbers[4])),
                    Bytes(text.begin() + ptrdiff_t(second), text.begin() + ptrdiff_t(second + numbers[5]))};
      std::mt19937 random(2);
      for (uint8_t& byte : head ? images.head : images.weights) byte = uint8_t(fill < 0 ? int(random()) : fill);
      CHECK_OK(write(path, images, {numbers[2], numbers[3]}));
      const Loaded rebuilt = load(options, cache.path());
      check_same(plain, rebuilt);
      check_report(rebuilt, "written to ", "not what packing makes");
    }
  }
}

void set_time(const std::string& path, fs::file_time_type time) { fs::last_write_time(path, time); }

void test_stale() {
  const Folder cache, model("tiny-a/hf"), other("tiny-a/hf");
  const EngineOptions options{.model_path = model.path()};
  const std::string weights = model.path("model.safetensors");
  check_report(load(options, cache.path()), "written to ");
  // Its time.
  set_time(weights, fs::last_write_time(weights) + std::chrono::milliseconds(1));
  check_report(load(options, cache.path()), "written to ", "of other weights");
  check_report(load(options, cache.path()), "read from ");
  // Its size and header.
  const std::string text = read_text(weights);
  const auto time = fs::last_write_time(weights);
  uint64_t header = 0;
  std::memcpy(&header, text.data(), sizeof header);
  std::string longer = text.substr(0, 8 + header) + "  " + text.substr(8 + header);
  header += 2;
  std::memcpy(longer.data(), &header, sizeof header);
  write_text(weights, longer);
  set_time(weights, time);
  check_report(load(options, cache.path()), "written to ", "of other weights");
  // Its content alone, size and time being what they were: every expert another one.
  std::string changed = longer;
  for (size_t at = 8 + header; at < changed.size(); ++at) {
    if (uint8_t(changed[at]) < 200) changed[at] = char(changed[at] ^ 1);
  }
  write_text(weights, changed);
  set_time(weights, time);
  const Loaded plain = load(options, ""), rebuilt = load(options, cache.path());
  check_report(rebuilt, "written to ", "not what packing makes");
  check_same(plain, rebuilt);
}

// Whoever writes to the checkpoint while it is read spoils no cache.
void test_changed_while_read() {
  const Folder cache, model("tiny-a/hf");
  const std::string weights = model.path("model.safetensors");
  const auto touch = [&](double) { set_time(weights, fs::last_write_time(weights) + std::chrono::milliseconds(1)); };
  const Status status = load({.model_path = model.path()}, cache.path(), touch).status;
  CHECK(status.code == Code::io_error && status.message.ends_with("model.safetensors: was changed while it was read"));
  CHECK(fs::is_empty(cache.path()));
}

// A scale that is no number is told with and without a cache.
void test_bad_scale() {
  const Folder cache, model("tiny-a/hf");
  const EngineOptions options{.model_path = model.path()};
  const std::string weights = model.path("model.safetensors");
  const auto time = fs::last_write_time(weights);
  check_report(load(options, cache.path()), "written to ");
  std::string text = read_text(weights);
  for (size_t i = 0; i < 192; ++i) text[text.size() - 1 - i] = char(255);  // ends with gate_up_proj_scales
  write_text(weights, text);
  set_time(weights, time + std::chrono::seconds(1));
  CHECK(load(options, cache.path()).status.message.find("has the scale 255") != std::string::npos);
}

void test_writers() {
  const Folder folder;
  const std::string path = folder.path("a");
  const Images images = random_images(3'000'001, 500'000);
  std::atomic<int> written{0}, wrong{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      ThreadPool pool(1);
      for (int round = 0; round < 10; ++round) {
        const Status status = write(path, images);
        if (status.ok()) ++written;
        else if (status.message != "another process writes it") ++wrong;
        // Never half of a file, once there is one.
        const Status seen = read(path, images, &pool);
        if (!seen.ok() && (written > 0 || seen.code != Code::not_found)) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(written > 0);
  CHECK_EQ(wrong.load(), 0);
  CHECK(!fs::exists(path + ".part"));
}

// Runs in a process of its own; true where it said so by its exit.
bool in_child(const std::function<bool()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body() ? 0 : 1);
  int status = 0;
  return CHECK(child > 0 && waitpid(child, &status, 0) == child) && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// What a killed writer leaves is neither read nor in the way.
void test_killed_writer() {
  const Folder folder;
  const std::string path = folder.path("a");
  const Images images = random_images(5'000'000, 5'000'000);
  ThreadPool pool(1);
  CHECK(!in_child([&] {
    const auto die = [](double) { raise(SIGKILL); };
    const MemoryImage image{images.weights.data(), images.weights.size()};
    return WeightFile::write(path, kKey, {image, image}, die).ok();
  }));
  CHECK(fs::exists(path + ".part") && !fs::exists(path));
  CHECK(read(path, images, &pool).code == Code::not_found);
  CHECK_OK(write(path, images));
  CHECK(!fs::exists(path + ".part"));
  CHECK_OK(read(path, images, &pool));
}

// What lies under the name of the partial file and is none is left as it is.
void test_no_partial() {
  const Folder folder;
  const std::string path = folder.path("a"), part = path + ".part", other = folder.path("other");
  const Images images = random_images();
  write_text(other, "precious");
  const auto is_refused = [&] {
    return write(path, images).code == Code::io_error && !fs::exists(path) && fs::file_size(other) == 8;
  };
  fs::create_symlink(other, part);
  CHECK(is_refused());
  fs::remove(part);
  fs::create_hard_link(other, part);
  CHECK(is_refused());
  CHECK(fs::exists(part));
  fs::remove(part);
  CHECK(mkfifo(part.c_str(), 0600) == 0);
  CHECK(is_refused());
}

// Folders that cannot be written: the model loads all the same.
void test_no_place() {
  const Folder folder;
  write_text(folder.path("file"), "");
  const EngineOptions options{.model_path = golden_folder() + "tiny-a/hf"};
  const Loaded plain = load(options, "");
  for (const std::string& place : {folder.path("file"), folder.path("no/such"), std::string("/proc/switchyard")}) {
    const Loaded loaded = load(options, place);
    check_same(plain, loaded);
    check_report(loaded, "not written to ");
  }
  // Something else under its name.
  check_report(load(options, folder.path()), "written to ");
  const std::string path = folder.file();
  fs::remove(path);
  fs::create_directory(path);
  const Loaded loaded = load(options, folder.path());
  check_same(plain, loaded);
  check_report(loaded, "not written to ");
  fs::remove(path);
  CHECK(mkfifo(path.c_str(), 0600) == 0);
  check_report(load(options, folder.path()), "written to ", "not a regular file");
}

void test_full_disk() {
  const Folder folder;
  const Images images = random_images();
  const auto refuses = [&](const std::string& path) {
    const Status status = write(path, images);
    return status.code == Code::io_error && !fs::exists(path) && !fs::exists(path + ".part");
  };
  CHECK(in_child([&] {
    const rlimit limit{100'000, 100'000};
    return setrlimit(RLIMIT_FSIZE, &limit) == 0 && refuses(folder.path("a"));
  }));
#ifdef __linux__
  CHECK(in_child([&] {
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 && unshare(CLONE_NEWNS) != 0) return true;  // not allowed here
    if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return true;
    if (mount("switchyard", folder.path().c_str(), "tmpfs", 0, "size=512k") != 0) return true;
    return refuses(folder.path("a"));
  }));
#endif
}

}  // namespace

int main() {
  for (const std::string model : {"tiny-a/hf", "tiny-a/original", "tiny-b/hf", "odd/hf", "plain/hf"}) {
    for (const std::string dense : {"bf16", "int8"}) {
      for (const char* isa : {"scalar", "auto"}) test_hit_is_miss(model, isa, dense, "screened");
      test_hit_is_miss(model, "auto", dense, "exact");
    }
  }
  test_shared("tiny-a/hf");
  test_modes_without();
  test_names();
  test_head();
  test_damage();
  test_hostile_numbers();
  for (const std::string dense : {"bf16", "int8"}) {
    const EngineOptions options{.model_path = golden_folder() + "tiny-b/hf", .head = "screened", .dense = dense};
    test_damaged_model(options);
    test_forged_model(options);
  }
  test_stale();
  test_changed_while_read();
  test_bad_scale();
  test_killed_writer();
  test_no_partial();
  test_full_disk();
  test_no_place();
  test_writers();
  return check_result();
}
