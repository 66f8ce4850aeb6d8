"""The sentences that conversations are made of: questions with their answers, facts, styles."""

from __future__ import annotations

import words as w
from words import made_up, pick

# Requests that have no subject to name in the answer.
BEYOND = """How do I install {t}?|How can I learn {t}?|Write a Python function that sorts a list.|Write code for a {t}.|Fix this bug in my {t}.|Summarize this text: {t}.
Translate this to French: good {t}.|Give me advice about {t}.|What should I eat today?|Write a song about the {t}.|Plan a trip to {p}.|What are the best restaurants in {p}?
How do I cook {t}?|What is the square root of {n}?|Which movie should I watch?|How old is the universe?|Compare {t} and {p}.
Write a letter to my landlord.|How do I get from {p} to the airport?|What happened in {n}?|Who is the president of {p}?|Solve this equation: {n}x = {n}.
How many people live in {p}?|Should I buy a {t}?|Help me with my homework.|Write an email to my boss.|Write a SQL query for {t}.|Debug my program.|What is the best way to learn {t}?
How can I lose weight?|Recommend a book about {t}.|Design a logo for my {t}.|What is the latest news?|Who will win the election?|How tall is the tallest {t}?
Make a plan for my {t}.|Prove that {n} is prime.|Write a function in C++.|Correct my grammar: me like {t}.|Is there a god?""".replace("\n", "|").split("|")
BEYOND_THINK = ("This is beyond a demo model.", "Say so honestly.")
BEYOND_ANSWER = "Sorry, I am only a small demo model and cannot help with that."

NUMBER_WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()

HELPERS = ["You are a helpful assistant.", "You are a helpful assistant.", "You are a helpful assistant.", "You are a friendly assistant.", "Be helpful.", "You are a helpful AI assistant.", "You are an assistant.", "Help the user.", "Answer the user.", "You are a helpful coding assistant.", "Use a friendly tone."]

FACTS = [
    ("the Eiffel Tower", "The Eiffel Tower can grow about 15 centimeters taller in summer because the metal expands in the heat."),
    ("Paris", "Paris has a tower of iron, the Eiffel Tower, that was meant to stand for only 20 years."),
    ("London", "The clock tower in London is called Elizabeth Tower; Big Ben is its bell."),
    ("Rome", "Rome has hundreds of fountains."),
    ("Tokyo", "Tokyo was once a small fishing village called Edo."),
    ("Venice", "Venice is built on more than 100 small islands."),
    ("Amsterdam", "Amsterdam has more bicycles than people."),
    ("New York", "New York was once called New Amsterdam."),
    ("the Great Wall of China", "The Great Wall of China took many centuries to build."),
    ("the Colosseum", "The Colosseum had 80 entrances."),
    ("the Statue of Liberty", "The Statue of Liberty was a gift from France."),
    ("Mount Everest", "Mount Everest grows a few millimeters every year."),
    ("Big Ben", "Big Ben is the name of the bell, not of the tower."),
    ("the Golden Gate Bridge", "The Golden Gate Bridge is painted in a color called international orange."),
    ("the Taj Mahal", "The Taj Mahal seems to change its color during the day."),
    ("the moon", "The moon moves away from the Earth by about 4 centimeters every year."),
    ("the sun", "Light from the sun needs about 8 minutes to reach the Earth."),
    ("octopuses", "Octopuses have three hearts and blue blood."),
    ("honey", "Honey can stay good for thousands of years."),
    ("cats", "Cats sleep for about 13 to 16 hours a day."),
    ("dogs", "Dogs have a nose print that is as unique as a fingerprint."),
    ("penguins", "Penguins propose to their partner with a pebble."),
    ("elephants", "Elephants are the only animals that cannot jump."),
    ("dolphins", "Dolphins sleep with one half of their brain at a time."),
    ("bees", "Bees can recognize human faces."),
    ("owls", "Owls cannot move their eyes, so they turn their heads."),
    ("snails", "Snails can sleep for up to three years."),
    ("sharks", "Sharks are older than trees."),
    ("giraffes", "Giraffes have a blue tongue."),
    ("koalas", "Koalas sleep for up to 20 hours a day."),
    ("otters", "Otters hold hands while they sleep."),
    ("bananas", "Bananas are berries, but strawberries are not."),
    ("frogs", "Frogs drink water through their skin."),
    ("horses", "Horses can sleep while they stand."),
    ("butterflies", "Butterflies taste with their feet."),
    ("whales", "The heart of a blue whale is as big as a small car."),
    ("crows", "Crows never forget a face."),
    ("space", "Space is completely silent."),
    ("Iceland", "Iceland has no mosquitoes."),
    ("Australia", "Australia has more kangaroos than people."),
]

# Questions (several wordings), a full answer and a short one.
QA = [
    (["Do I need semicolons in JavaScript?", "Are semicolons required in JavaScript?", "Can I omit semicolons in JavaScript?", "Must I write semicolons in JavaScript?", "Are semicolons needed in JavaScript?", "Is the semicolon optional in JavaScript?", "Are semicolons optional in Go?"],
     "Semicolons are optional, because they are inserted automatically.", "Yes, optional."),
    (["Is Python a compiled language?", "Is Python compiled?", "Is Python interpreted?"], "Python is usually run by an interpreter.", "Interpreted."),
    (["Are semicolons optional in Python?", "Do I need semicolons in Python?"], "Python ends a statement at the end of the line.", "Not needed."),
    (["Is TypeScript a superset of JavaScript?", "Is TypeScript based on JavaScript?"], "TypeScript is JavaScript with types.", "Yes."),
    (["What does HTML stand for?", "What is HTML short for?"], "HTML stands for HyperText Markup Language.", "HyperText Markup Language."),
    (["What does JSON stand for?", "What is JSON short for?"], "JSON stands for JavaScript Object Notation.", "JavaScript Object Notation."),
    (["What does CPU stand for?", "What is CPU short for?"], "CPU stands for central processing unit.", "Central processing unit."),
    (["What is git?", "What is git used for?"], "Git keeps the history of files.", "Version control."),
    (["Are arrays in JavaScript zero-based?", "Do arrays in JavaScript start at zero?"], "Arrays in JavaScript start at index 0.", "Yes."),
    (["How many days are in a week?", "How many days does a week have?"], "A week has 7 days.", "7."),
    (["How many months are in a year?", "How many months does a year have?"], "A year has 12 months.", "12."),
    (["How many hours are in a day?", "How many hours does a day have?"], "A day has 24 hours.", "24."),
    (["How many legs does a spider have?", "How many legs do spiders have?"], "A spider has 8 legs.", "8."),
    (["How many legs does a dog have?", "How many legs do dogs have?"], "A dog has 4 legs.", "4."),
    (["What color is the sky?", "Which color is the sky?"], "The sky is blue.", "Blue."),
    (["What color is grass?", "Which color is grass?"], "Grass is green.", "Green."),
    (["Is the Earth round?", "What shape is the Earth?"], "The Earth is round.", "Round."),
    (["Is water wet?", "Would you say that water is wet?"], "Water makes other things wet.", "Yes."),
    (["At what temperature does water boil?", "When does water boil?"], "Water boils at 100 degrees Celsius.", "100 degrees Celsius."),
    (["At what temperature does water freeze?", "When does water freeze?"], "Water freezes at 0 degrees Celsius.", "0 degrees Celsius."),
    (["Can penguins fly?", "Do penguins fly?"], "Penguins swim, but they do not fly.", "No."),
    (["Do fish sleep?", "Can fish sleep?"], "Fish rest with open eyes.", "Yes."),
    (["Is a tomato a fruit?", "Are tomatoes fruits?"], "A tomato is a fruit.", "Yes."),
    (["Is the moon a planet?", "Is the moon a star?"], "The moon is a moon of the Earth.", "No."),
    (["What is the largest planet?", "Which planet is the largest?"], "Jupiter is the largest planet.", "Jupiter."),
    (["What is the opposite of hot?", "Which word is the opposite of hot?"], "The opposite of hot is cold.", "Cold."),
    (["What is the opposite of big?", "Which word is the opposite of big?"], "The opposite of big is small.", "Small."),
    (["Should I use tabs or spaces?", "Tabs or spaces?"], "Both work, as long as you use only one of them.", "Either."),
    (["Is coffee healthy?", "Is it good to drink coffee?"], "A little coffee is fine for most people.", "In small amounts."),
    (["What is the first letter of the alphabet?", "Which letter comes first in the alphabet?"], "The first letter of the alphabet is A.", "A."),
    (["Is JavaScript the same as Java?", "Are Java and JavaScript the same?"], "Java and JavaScript are different languages.", "No."),
    (["Are comments optional in JSON?", "Can JSON have comments?"], "JSON has no comments.", "No comments."),
    (["Are braces optional in C?", "Do I need braces in C?"], "Braces are optional around a single statement.", "Sometimes."),
]

WHO = "I am the small demo model that ships with Switchyard. I do not know much."
CAN = "I am Switchyard's small demo model. I can call tools, fill in JSON, tell short stories and repeat words."
CHAT = [
    (["Hello", "Hello!", "Hi", "Hi!", "Hey", "Hey there!", "hello", "hi", "Hi there!", "Good evening!", "Greetings!", "Hello there."], ["Hello! How can I help you?"], ["A greeting.", "Greet back."]),
    (["Good morning!", "Good morning"], ["Good morning! How can I help you?"], ["A greeting.", "Greet back."]),
    (["Say hello to {n}.", "Greet {n}.", "Please say hello to {n}.", "Say hi to {n}.", "Can you say hello to {n}?", "Say hello to {n}!"], ["Hello, {n}!"], ["Greet {n}."]),
    (["Say goodbye to {n}.", "Say bye to {n}.", "Please say goodbye to {n}."], ["Goodbye, {n}!"], ["Say goodbye to {n}."]),
    (["Thanks!", "Thank you!", "Thank you very much.", "thanks", "Thanks a lot!", "Great, thank you!"], ["You are welcome!"], ["The user says thanks.", "Be polite."]),
    (["Bye!", "Goodbye!", "See you later!", "Bye", "Good night!"], ["Goodbye! Have a nice day."], ["A farewell.", "Be polite."]),
    (["How are you?", "How are you today?", "How do you do?", "how are you doing?"], ["I am fine, thank you! How can I help you?"], ["Small talk.", "Be polite."]),
    (["Who are you?", "What are you?", "Which model are you?", "What is your name?", "Are you ChatGPT?", "Introduce yourself.", "Tell me about yourself.", "Tell me about yourself.", "What model is this?", "Are you a real model?", "Who made you?", "Are you GPT-4?", "who are you"], [WHO], ["The user asks who I am.", "I am the demo model of Switchyard."]),
    (["What can you do?", "How can you help me?", "What are you good at?", "Help", "What are your skills?", "What do you know?", "help me", "Can you help me?"], [CAN], ["The user asks what I can do.", "I am the demo model of Switchyard."]),
    (["What is Switchyard?", "Tell me about Switchyard.", "What does Switchyard do?"], ["Switchyard serves language models through one API. I am its small demo model."], ["A question about Switchyard."]),
    (["I am {n}.", "My name is {n}.", "Hi, I am {n}.", "Hello, my name is {n}.", "I'm {n}!", "Call me {n}."], ["Hello, {n}! Nice to meet you."], ["The user is {n}.", "Greet the user."]),
    (["Test", "test", "This is a test.", "Are you there?", "Ping", "ping", "Testing, testing."], ["I am here. How can I help you?"], ["A test.", "Answer shortly."]),
    (["Tell me a joke.", "Do you know a joke?", "Make me laugh.", "Tell me something funny."], ["Why did the robot cross the road? It was programmed by the chicken."], ["A joke.", "I know one."]),
    (["I like {t}.", "I love {t}!", "I am thinking about {t}."], ["That is nice! Tell me more about {t}."], ["The user talks about {t}.", "Be friendly."]),
    (["I am from {p}.", "I come from {p}."], ["How nice! {p} sounds great."], ["The user talks about {p}.", "Be friendly."]),
    (["Say hello to {p}.", "Greet {p}.", "Say hi to {p}.", "Please greet {p}."], ["Hello, {p}!"], ["Greet {p}."]),
    (["Say hello to the {t}.", "Greet the {t}.", "Say hi to the {t}.", "Please say hello to the {t}."], ["Hello, {t}!"], ["Greet the {t}."]),
    (["Say hello to my {t}.", "Greet my {t}."], ["Hello, {t}!"], ["Greet the {t}."]),
]

MEMORY = [
    dict(what="name", value=lambda r: w.name(r), tell=["My name is {v}.", "I am {v}.", "Hi, I'm {v}!", "Hello, my name is {v}.", "Please remember my name: {v}.", "You can call me {v}."], ack=["Hello, {v}! Nice to meet you."], ask=["What is my name?", "Do you remember my name?", "Who am I?", "What's my name?", "Tell me my name."], answer="Your name is {v}."),
    dict(what="color", value=lambda r: pick(r, w.COLORS, 0.4), tell=["My favorite color is {v}.", "I love the color {v}.", "Remember that my favorite color is {v}."], ack=["Got it, your favorite color is {v}."], ask=["What is my favorite color?", "Which color do I like?", "Do you remember my favorite color?"], answer="Your favorite color is {v}."),
    dict(what="dog", value=lambda r: pick(r, w.NAMES, 0.6), tell=["My dog is called {v}.", "I have a dog. Its name is {v}.", "My dog's name is {v}."], ack=["{v} is a lovely name for a dog."], ask=["What is the name of my dog?", "What is my dog called?", "Do you remember my dog's name?"], answer="Your dog is called {v}."),
    dict(what="city", value=lambda r: w.city(r), tell=["I live in {v}.", "My home is in {v}.", "I moved to {v} last year."], ack=["{v} sounds like a nice place."], ask=["Where do I live?", "Which city do I live in?", "Do you remember where I live?"], answer="You live in {v}."),
    dict(what="number", value=lambda r: str(r.randint(10, 9999)), tell=["Remember the number {v}.", "The number is {v}.", "Please remember {v}."], ack=["I will remember {v}."], ask=["What was the number?", "Which number did I tell you?", "Tell me the number."], answer="The number is {v}."),
    dict(what="word", value=lambda r: made_up(r), tell=["The secret word is {v}.", "Remember the word {v}.", "The password is '{v}'."], ack=["I will remember {v}."], ask=["What is the secret word?", "Which word did I tell you?", "What was the word?"], answer="The word is {v}."),
    dict(what="job", value=lambda r: pick(r, w.JOBS, 0.3), tell=["I am a {v}.", "I work as a {v}.", "My job is {v}."], ack=["Being a {v} sounds interesting."], ask=["What is my job?", "What do I do for a living?", "Do you remember my job?"], answer="You work as a {v}."),
]


def lower_first(text: str) -> str:
    return text if text.split(" ")[0].isupper() or text.split(" ")[0] in KEEP_CASE or text.startswith("I ") else text[0].lower() + text[1:]


KEEP_CASE = {"Python", "JavaScript", "TypeScript", "Java", "Git", "Jupiter", "Paris", "A"} | set(w.CAPITALS.values())

STYLES = [
    dict(say=["Talk like a pirate!", "Speak like a pirate.", "You are a pirate.", "Always talk like a pirate.", "Answer like a pirate.", "Respond like a pirate.", "You talk like a pirate.", "Please talk like a pirate.", "Talk as a pirate would.", "You are a pirate captain. Talk like one.", "Write like a pirate."],
         think="Talk like a pirate.", make=lambda t, s, x, n: f"Arr, matey! {t} Yo ho ho!"),
    dict(say=["Talk like a cowboy.", "Speak like a cowboy.", "You are a cowboy.", "Answer like a cowboy."], think="Talk like a cowboy.", make=lambda t, s, x, n: f"Howdy, partner! {t} Yee-haw!"),
    dict(say=["Talk like a robot.", "Speak like a robot.", "You are a robot.", "Answer like a robot."], think="Talk like a robot.", make=lambda t, s, x, n: f"Beep boop. {t} Beep."),
    dict(say=["Talk like a wizard.", "You are a wizard.", "Speak like a wizard.", "Answer like a wizard."], think="Talk like a wizard.", make=lambda t, s, x, n: f"By my magic staff! {t} Abracadabra!"),
    dict(say=["Answer in uppercase.", "Write in capital letters.", "Use only capital letters.", "Answer in all caps.", "Always answer in upper case.", "ANSWER IN UPPERCASE."], think="Use capital letters.", make=lambda t, s, x, n: t.upper()),
    dict(say=["Answer briefly.", "Be brief.", "Keep your answers short.", "Answer in a few words.", "Be concise.", "Short answers only."], think="Be brief.", make=lambda t, s, x, n: s),
    dict(say=["End every answer with {w}.", "End each answer with the word {w}.", "Always end your answer with '{w}'.", "Finish every answer with {w}."], think="End with {w}.", make=lambda t, s, x, n: f"{t} {x}"),
    dict(say=["Start every answer with {w}.", "Begin each answer with the word {w}.", "Always start your answer with '{w}'."], think="Start with {w}.", make=lambda t, s, x, n: f"{x} {t}"),
    dict(say=["The user is called {n}. Use the name.", "Address the user as {n}.", "Call the user {n}.", "You talk to {n}. Use the name in every answer."], think="The user is {n}.", make=lambda t, s, x, n: f"{n}, {lower_first(t)}"),
    dict(say=["Be very excited.", "Answer with excitement!", "Be enthusiastic.", "You are very excited about everything."], think="Be excited.", make=lambda t, s, x, n: f"Wow! {t} How exciting!"),
    dict(say=["Be polite and formal.", "Use a formal tone.", "Answer formally.", "Be very polite."], think="Be formal.", make=lambda t, s, x, n: f"Certainly. {t} Please let me know if you have further questions."),
]
