//! Letters to the people who make appointments, write bills and run the office.

use super::{Client, Exchange, Staff};

pub(super) const SCHEDULING: &[Exchange] = &[
    &[
        Client("could we move my session from {day} to {day2}? Something came up at work."),
        Staff("Hello {client}, {day2} is open at {time} or {time2}. Which suits you better?"),
        Client("{time} works well."),
        Staff("Done: {day2} at {time}. You will see it in the portal in a moment."),
    ],
    &[
        Client("is there anything earlier in the day on {day}? I have to pick up my daughter at 3."),
        Staff("There is {time} with the same clinician, by video. Would that do?"),
        Client("Video is perfect, please book it."),
        Staff("It is booked. The link to join is in the appointment, and opens ten minutes before."),
    ],
    &[
        Client("do I need to come to the {site} office on {day}, or is that one by video?"),
        Staff("{day} is in person at the {site} office, at {time}. Shall I change it to video?"),
        Client("No, in person is good. I only wanted to be sure."),
    ],
    &[
        Staff(
            "Good morning {client}, our {site} office closes at noon on {day}. May we move you to {time2} the day before?",
        ),
        Client("Yes, that is fine."),
        Staff("Thank you for being flexible. It is moved."),
    ],
    &[
        Client(
            "I am visiting my parents in Colorado next month. Can I see somebody at the Fort Collins office?",
        ),
        Staff(
            "You can keep your own clinician by video while you are in Colorado, or we look for a time in Fort Collins. Which would you like?",
        ),
        Client("By video with the same person, then. Is {day} possible? I will be on Mountain Time."),
        Staff(
            "{day} at {time} Mountain Time, which is two hours later in Albany. I have put both into the appointment.",
        ),
        Client("That is very thoughtful."),
    ],
    &[
        Client("my reminder said {time}, but I had {time2} in my calendar. Which is right?"),
        Staff("{time} is right. The clocks changed on Sunday, and your calendar may have kept the old hour."),
        Client("That explains it. See you at {time}."),
    ],
    &[
        Client("please put me on the list for an earlier appointment, any weekday before 11 am."),
        Staff("You are on the list. We write as soon as something opens, and you are free to say no."),
        Staff("There is an opening on {day} at {time}. Would you like it? I can keep it until 5 pm today."),
        Client("Yes please!"),
        Staff("It is yours."),
    ],
    &[
        Client("running about {number} minutes late today, the bridge is closed."),
        Staff("No problem, thank you for telling us. I have let {clinician} know."),
    ],
    &[
        Client("is there parking at the {site} office? I will come by car for the first time."),
        Staff(
            "There are {number} spaces behind the building, entrance from Alder Street. The door on that side has a ramp; the bell is at both heights.",
        ),
    ],
    &[
        Client("could my sessions be on the same day each week from {day} on?"),
        Staff(
            "We can hold {time} for you each week. I have written the next {number} into the portal; cancel any that you do not need.",
        ),
        Client("Wonderful, that makes planning much easier."),
    ],
    &[
        Staff(
            "A note for your calendar: the practice is closed on {day}. The crisis lines on your portal's first page are answered at all hours.",
        ),
        Client("Noted."),
    ],
    &[
        Client("I need to cancel {day}, I have caught a cold. 🤧"),
        Staff("Get well soon! It is cancelled, with no fee. {day2} at {time} is free if you want it."),
        Client("I will take {day2}."),
        Staff("Booked."),
    ],
    &[
        Client("how long is the first meeting with the nurse practitioner?"),
        Staff(
            "It takes {minutes} minutes. The portal has two short forms for you; a quarter of an hour is enough for both.",
        ),
    ],
    &[
        Client("is the waiting room quiet around {time}? I come with my mother, who uses a hearing aid."),
        Staff(
            "It is quietest before 10 am. There is a second, smaller room as well: ask at the desk, and we will bring you there.",
        ),
        Client("That is good to know."),
    ],
];

pub(super) const BILLING: &[Exchange] = &[
    &[
        Client("my statement shows {amount} for {day}, but I paid at the desk that day."),
        Staff(
            "You are right, the payment was booked to the wrong visit. It is corrected, and your balance is 0.",
        ),
        Client("That was fast."),
    ],
    &[
        Client("could I have a superbill for last month? My insurer asks for it."),
        Staff("It is in the portal under Documents. It lists {number} visits with codes and amounts."),
        Client("Found it. They also want your tax number, is it on there?"),
        Staff("Yes, at the bottom of the first page."),
    ],
    &[
        Staff(
            "Hello {client}, your insurer has paid for the visit of last month. Your part is {amount}. You can pay in the portal; nothing is due before {day}.",
        ),
        Client("Can I split it into two payments?"),
        Staff("Of course. Choose your own amount when you pay, and pay the rest when it suits you."),
    ],
    &[
        Client("I have a new insurance card from the first of next month. Do you need both sides?"),
        Staff("Yes please, front and back. We check it with the insurer before your next visit."),
        Client("Both are uploaded."),
        Staff("Thank you. They confirm a copay of {amount} a visit."),
        Client("The same as before, good."),
    ],
    &[
        Client("why is there a charge of {amount} for a visit that I cancelled?"),
        Staff("I am sorry about that. You cancelled in time, so there should be none. I have taken it off."),
    ],
    &[
        Client("what would a {minutes}-minute session cost without insurance?"),
        Staff(
            "It is {amount}. You have a right to a good-faith estimate in writing; I have put one into your documents.",
        ),
    ],
    &[
        Client("my HSA card was declined yesterday, but the bank says that it is fine."),
        Staff(
            "The processor had a fault in the afternoon. Nothing was charged. Please try again; your receipt appears at once.",
        ),
        Client("It went through now, {amount}."),
        Staff("I see it. Your balance is 0."),
    ],
    &[
        Client("does the office take checks? My father would like to pay for the family session."),
        Staff("We do. Please have him write the number 20417 on it, so that it finds your account."),
    ],
    &[
        Staff(
            "We have refunded {amount} to the card on file: your insurer paid more than expected. It takes 5 to 7 days.",
        ),
        Client("A nice surprise, thank you for telling me."),
    ],
    &[
        Client("please do not charge the card ending in 4417 any more, it expires on {day}."),
        Staff("It is marked. Add the new one when you have it; we do not need to see the number."),
        Client("Added."),
    ],
    &[
        Client("is the sliding scale still offered? My hours were cut."),
        Staff(
            "It is. There is a one-page form in your documents, and it starts from the day on which you send it. Your visits go on as planned.",
        ),
        Client("I have filled it in."),
        Staff("Thank you, {client}. From now on it is {amount} a visit, looked at again in six months."),
        Client("That is a great help."),
    ],
    &[
        Client("could the receipts go by mail as well, to the address in my profile?"),
        Staff("They will from now on. The first one leaves us on {day}."),
    ],
];

pub(super) const OFFICE: &[Exchange] = &[
    &[
        Client("my employer asks for a letter that says when I have appointments, nothing else."),
        Staff(
            "We write it with dates and times only: no reason, and no name of the clinician. Is that right?",
        ),
        Client("Exactly that."),
        Staff("It is in your documents. Please check it before you pass it on."),
    ],
    &[
        Client("I cannot hear anything in the video call since the update of my phone."),
        Staff(
            "Please check that the microphone is allowed for the portal in the phone's settings. There is a test call under Help, you can try it at any time.",
        ),
        Client("That was it. It works now 🎉"),
    ],
    &[
        Client("how do I get a copy of my records for my new family doctor?"),
        Staff(
            "Ask for it in the portal under Records and say where it should go. It takes up to {number} days; often less.",
        ),
        Client("Sent."),
        Staff("Received. We will write here when it has left."),
        Staff("Your records went to the office that you named today."),
    ],
    &[
        Client("my preferred name is not on the form that I got today. Could you change it? It is {client}."),
        Staff("I am sorry. It is changed on the form and in the template, so it will not happen again."),
        Client("I appreciate it."),
    ],
    &[
        Staff(
            "Hello {client}, one form is still open: the yearly consent. It takes about {number} minutes and can be done on the phone.",
        ),
        Client("Done just now. The second page was hard to read on a small screen."),
        Staff("Thank you for telling us. We have made the text larger."),
    ],
    &[
        Client("we have moved. Do I change the address in the portal, or do you?"),
        Staff("Please change it under My Information, we look at it and confirm."),
        Client("Changed. The new number is {number} Quail Hollow Road."),
        Staff("Confirmed. Your mail goes there from today."),
    ],
    &[
        Client("who can read what I write here?"),
        Staff(
            "Those who take part in the thread, whose names are at its top. A message to the scheduler or to billing is read by whoever is on duty there.",
        ),
        Client("Clear, thanks."),
    ],
    &[
        Client("I got a mail about a sign-in from a new phone. That was me, I have replaced the old one."),
        Staff(
            "Good to know. The old one is signed out for you, and the list of sign-ins is in your profile.",
        ),
    ],
    &[
        Client("can I bring my dog to the {site} office? He is a trained assistance dog."),
        Staff("Of course. There is water at the desk, and the room on the ground floor has most space."),
    ],
    &[
        Client("is the survey from last week anonymous?"),
        Staff(
            "The practice sees the answers without names. It is {number} questions, and none has to be answered.",
        ),
        Client("Then I will do it tonight."),
    ],
];
