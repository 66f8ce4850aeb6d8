// What prompt lookup would bring on texts that are known: replays each answer token by token as if the model chose it, with the
// guesses that the scheduler would verify, and counts steps. Input: lines of a name, the prompt's ids, the answer's ids
// (bench/engine/draft-replay.ts writes them). Arguments: what a step of 1, 2, 3 … rows costs beside one of 1 row, as measured
// (`switchyard bench --speculate ngram:N`: tokens/s of tgN over tgN+K).
//   draft_replay MOST COST1 COST2 …  < texts
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "speculation.h"

using namespace switchyard;

namespace {

std::vector<int32_t> read_ids(const std::string& line) {
  std::istringstream words(line);
  std::vector<int32_t> ids;
  for (int32_t id; words >> id;) ids.push_back(id);
  return ids;
}

void replay(const std::string& name, const std::vector<int32_t>& prompt, const std::vector<int32_t>& answer, size_t most,
            const std::vector<double>& costs) {
  const StepCosts known(costs);
  Drafter drafter;
  std::vector<int32_t> tokens = prompt;
  size_t steps = 0, drafted = 0, accepted = 0, done = 0;
  double spent = 0;
  while (done < answer.size()) {
    drafter.guess(tokens, std::min(most, answer.size() - done - 1), {}, 0);
    const Drafter* const one[] = {&drafter};
    const size_t verified = share_drafts(one, 1, known)[0];
    size_t kept = 0;
    while (kept < verified && drafter.draft()[kept] == answer[done + kept]) ++kept;
    const std::span<const int32_t> chosen = std::span(answer).subspan(done, kept + 1);
    drafter.learn(chosen);
    tokens.insert(tokens.end(), chosen.begin(), chosen.end());
    done += kept + 1;
    drafted += verified;
    accepted += kept;
    spent += known.of(1 + verified);
    ++steps;
  }
  std::printf("| %s | %zu | %.0f %% | %.2f | %.2f |\n", name.c_str(), answer.size(),
              drafted > 0 ? 100.0 * double(accepted) / double(drafted) : 0.0, double(answer.size()) / double(steps),
              double(answer.size()) / spent);
}

}  // namespace

int main(int count, char** words) {
  std::vector<double> costs{1};
  for (int i = 2; i < count; ++i) costs.push_back(std::strtod(words[i], nullptr));
  if (count < 4) {
    std::fprintf(stderr, "usage: draft_replay MOST COST1 COST2 …\n");
    return 2;
  }
  std::printf("| text | tokens | guesses that came true | tokens a step | speed-up |\n|---|---|---|---|---|\n");
  for (std::string name, prompt, answer; std::getline(std::cin, name) && std::getline(std::cin, prompt) && std::getline(std::cin, answer);)
    replay(name, read_ids(prompt), read_ids(answer), size_t(std::strtoul(words[1], nullptr, 10)), costs);
  return 0;
}
