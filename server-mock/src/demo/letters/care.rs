//! Letters between a client and the clinicians: everyday, short and kind. What is discussed in
//! sessions stays there.

use super::{Client, Exchange, Staff};

pub(super) const BETWEEN_SESSIONS: &[Exchange] = &[
    &[
        Client(
            "the week plan is holding up. I walked on {number} of the last 14 days, mostly along the river.",
        ),
        Staff(
            "That is more than you had set out to do. Would you like to keep the same goal, or change it on {day}?",
        ),
        Client("Keep it. It feels about right."),
    ],
    &[
        Client(
            "I wrote down three things for {day}, so that I do not forget them: the talk with my manager, the trip in spring, and the choir.",
        ),
        Staff("Thank you, that helps me to keep enough time. We can start with whichever you like."),
    ],
    &[
        Client(
            "the breathing exercise on the train worked better than I thought. I counted to {number} and looked out of the window.",
        ),
        Staff("I am glad. If you want, note where you were each time; we can look at it together."),
        Client("I will. I have started a list."),
        Staff("Good. Bring it along on {day}."),
    ],
    &[
        Client("could you send me the worksheet again that we used last time? I have lost the paper."),
        Staff("It is in your documents now, so it cannot get lost. The second page is new."),
        Client("Got it."),
    ],
    &[
        Client("I slept well this week. The later alarm was a good idea."),
        Staff("I am happy to hear that. Let us leave it as it is until {day}."),
    ],
    &[
        Client(
            "my daughter asked what I do on Tuesdays. I said that I talk with somebody who helps me to sort things. She said: \"Like a librarian!\" 📚",
        ),
        Staff("I could not put it better. Thank you for sharing that."),
    ],
    &[
        Client(
            "the meeting at work went well. I said what we had practised, nearly word for word, and nobody minded.",
        ),
        Staff("You prepared it, and you did it. How was it for you afterwards?"),
        Client("Tired, then proud. I went for an ice cream."),
        Staff("Both make sense. And so does the ice cream."),
    ],
    &[
        Client("is it all right to read the book in any order? I would like to begin with chapter {number}."),
        Staff("Any order is fine. Skip what does not speak to you."),
        Client("Good, I have skipped half of it then."),
    ],
    &[
        Staff(
            "Hello {client}, as agreed a short note: I am away from {day} to {day2}. Messages are read by my colleagues, and our line for urgent calls is on your portal's first page.",
        ),
        Client("Thank you for telling me early. Enjoy your time off!"),
    ],
    &[
        Client("I have been asked to sing a solo in June. I said yes before I could think about it 🎶"),
        Staff("Congratulations! Shall we talk about how to prepare, or is it enough that you said yes?"),
        Client("Both, please."),
    ],
    &[
        Client(
            "today was harder. I used the list, called Maeve, and it passed. I do not need a call back, I only wanted to write it down.",
        ),
        Staff(
            "Thank you for writing, and for using your list. I have read it, and we will come back to it on {day}. If it gets harder before then, call us or 988 at any hour.",
        ),
        Client("I will. It is calmer now."),
    ],
    &[
        Client(
            "one question from my list: should I do the evening notes each day, or only when something happened?",
        ),
        Staff("Each day for two weeks, in one line. After that we look whether it is of use to you."),
        Client("One line I can do."),
    ],
    &[
        Client("I tried the group on {day}. It was good to hear others. I said only my name this time."),
        Staff("That is a fine start. You can say as much or as little as you like there."),
    ],
    &[
        Client(
            "the garden is coming on: {number} tomato plants, and one pumpkin that nobody planted. 🍅🍅🎃",
        ),
        Staff("Some things come by themselves. I look forward to hearing about the pumpkin."),
    ],
    &[
        Client(
            "thank you for the last session. I thought about the question on the way home and have an answer now. I will tell you on {day}.",
        ),
        Staff("I am curious. See you on {day}."),
    ],
    &[
        Client("can we use the first ten minutes on {day} for the form from the school?"),
        Staff("Of course. Bring it along, or photograph it and put it into the portal before."),
        Client("It is uploaded."),
        Staff("I see it. Two of its questions are for the school, I have marked them."),
    ],
];

pub(super) const PRESCRIPTIONS: &[Exchange] = &[
    &[
        Client("I have about {number} days left. Could you send the refill to the same pharmacy?"),
        Staff("It is sent. They say that it can be picked up from {day}."),
        Client("Good, I will pass by there on my way home."),
    ],
    &[
        Client(
            "our pharmacy closes for good on {day}. Please send everything to the one on Alder Street from now on.",
        ),
        Staff("Changed. The next refill goes to Alder Street."),
    ],
    &[
        Client("the tablets look different this time: round instead of oval. Is that right?"),
        Staff(
            "Thank you for asking before taking one. It is the same medicine and strength from another maker; the pharmacist has confirmed it to me.",
        ),
        Client("Good, then I will go on as before."),
    ],
    &[
        Staff(
            "Hello {client}, the result of the blood test is in, and all of it is as it should be. Nothing changes.",
        ),
        Client("Thank you for the quick answer."),
    ],
    &[
        Client("is it all right to take the allergy tablets from last spring along with it?"),
        Staff(
            "Thank you for asking first. I should like to see the exact name before I answer: please send me a photograph of the box, or ring me today.",
        ),
        Client("I will ring you at noon, the box is at home."),
    ],
    &[
        Client("where does it say what to do when I have forgotten one?"),
        Staff(
            "On the second page of the leaflet, which is in your documents as well. Call us or the pharmacist whenever you are not sure.",
        ),
        Client("Found it, thank you."),
    ],
    &[
        Client("the pharmacy asks for a prior authorization again. Do they need something from me?"),
        Staff(
            "Only from us. I have sent it with the number that your insurer gave us; they have until {day} to answer.",
        ),
        Staff("It is approved for a year."),
        Client("What a relief, thank you both!"),
    ],
    &[
        Client("could we do the follow-up by phone? I am on the road on {day}."),
        Staff("Yes. I will call at {time} on the number in your profile. Please be parked by then."),
        Client("I will be at the rest stop with a coffee."),
    ],
];

pub(super) const FAMILY_MEETINGS: &[Exchange] = &[
    &[
        Client("my brother Tomás would like to come along on {day}. Is that possible?"),
        Staff(
            "With pleasure, if you wish it. There is one consent for you to sign in the portal. He sees nothing of your records by it.",
        ),
        Client("Signed. He is a bit nervous."),
        Staff("That is usual. We begin with what each of you hopes for, and nobody has to speak first."),
    ],
    &[
        Client(
            "thank you for the meeting with my family. My mother said on the way home that she understood why I need the quiet evenings.",
        ),
        Staff("You explained it well. I have noted what all of you agreed on, it is in your documents."),
    ],
    &[
        Client(
            "the holidays are coming, and with them {number} people in my kitchen. Could we make a plan on {day}?",
        ),
        Staff(
            "Yes. Think of one thing that you want to keep from last year and one that you want to leave out.",
        ),
        Client("Keep: the walk after dinner. Leave out: the discussion at dinner."),
        Staff("Then half of the plan is there already."),
    ],
    &[
        Client("can Abuela join by video from Puerto Rico? She is one hour ahead of us in winter."),
        Staff(
            "She can. {time} in Albany is an hour later for her. I will send a link that she can open without an account.",
        ),
        Client("She has a new tablet and is very proud of it."),
    ],
    &[
        Client("we did the walk after dinner, all {number} of us, in the snow ❄️"),
        Staff("What a picture! Thank you for telling me."),
    ],
    &[
        Client("may my husband write to you as well, or only I?"),
        Staff(
            "He can have his own access if you allow it, and he would see only what you choose. We can set it up on {day}.",
        ),
        Client("We will talk about it at home first."),
        Staff("There is no hurry."),
    ],
];
