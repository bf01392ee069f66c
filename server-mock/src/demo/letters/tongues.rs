//! Letters in other languages and scripts: right to left, without spaces, with combining marks, and
//! with emoji of several code points.

use super::{Client, Desk, Exchange, Greeting, Staff};

/// What the main client writes about her family, whose languages differ.
pub(super) const FAMILY: &[Exchange] = &[
    &[
        Client(
            "could the handout for families also come in Arabic? My husband reads it more easily: شكرًا جزيلًا!",
        ),
        Staff("Yes, it is in your documents now: «دليل العائلة». Page 2 has our number, (518) 555-0142."),
        Client("He says: ممتاز، هذا ما كنا نبحث عنه."),
    ],
    &[
        Client("my mother-in-law asks whether the form exists in Hebrew (טופס הסכמה)."),
        Staff(
            "It does. I have added טופס הסכמה למשפחה to your documents; please sign either one of the two.",
        ),
        Client("תודה רבה! That is from her."),
    ],
    &[
        Client("for {day} we need an interpreter for Mandarin, my aunt (王阿姨) will join: 她只会说普通话。"),
        Staff("The interpreter is booked for {day} at {time}, at no cost to you. 谢谢您提前告诉我们。"),
        Client("太好了，谢谢！"),
    ],
    &[
        Client("my cousin from Osaka joins by video. Is there a page in Japanese on how to do that?"),
        Staff("Here it is: 「ビデオ面談の参加方法」. It is two pages with pictures."),
        Client("ありがとうございます 🙇‍♀️ she writes."),
    ],
    &[
        Client("Mémé préfère le français. Est-ce qu'il existe une version française de la fiche ?"),
        Staff("Oui, elle est dans vos documents : « Accompagner un proche ». Bonne lecture !"),
        Client("Parfait, merci beaucoup."),
    ],
    &[
        Client("Abuela pregunta si mañana también puede venir el niño, de {number} años. ¿Se puede?"),
        Staff("¡Claro que sí! Hay un rincón con juguetes y libros en la sala de espera."),
        Client("Se lo digo. ¡Un abrazo! 👵🏽👦🏽"),
    ],
    &[
        Client("the children drew our family for you: 👩‍❤️‍👨 👨‍👩‍👧‍👦 🐕‍🦺 and one 🏳️‍🌈. The purple one is me."),
        Staff("It hangs on the wall of the {site} office now 🖼️. Please thank both of them from us."),
    ],
    &[
        Client(
            "is the interpreter the same as last time? My husband liked her: كانت لطيفة جدًّا (that is: she was very kind).",
        ),
        Staff("Yes, the same, on {day} at {time}. I will pass that on to her."),
    ],
    &[
        Client(
            "a mixed question: on the card it says «الاسم: Renée O'Connor-Núñez (ريني)» and the dots wander about. Can you print it anew?",
        ),
        Staff("We have printed it with the name on a line of its own. It lies at the desk for you."),
        Client("Now it reads well from both sides."),
    ],
];

/// One for each of the other clients, in the order of the demo's list.
pub(in crate::demo) const GREETINGS_BY_CLIENT: &[Greeting] = &[
    Greeting {
        desk: Desk::Clinician,
        subject: "First weeks",
        lines: &[
            Staff(
                "Welcome, {client}. This is the place to write to me between our meetings; I read it on working days.",
            ),
            Client("Thank you! I found everything. See you on {day}."),
            Staff("See you then. The office is one floor up, there is a lift."),
        ],
    },
    Greeting {
        desk: Desk::Scheduler,
        subject: "Cambio de horario",
        lines: &[
            Client("Buenos días, ¿podría cambiar mi cita a la tarde? Trabajo hasta las tres."),
            Staff("Buenos días, {client}. El próximo martes a las 4:15 está libre. ¿Le viene bien?"),
            Client("Perfecto, muchas gracias. ¡Hasta el martes!"),
        ],
    },
    Greeting {
        desk: Desk::Clinician,
        subject: "Go raibh maith agat",
        lines: &[
            Client("Go raibh míle maith agat for the book list. The second one made me laugh on the bus."),
            Staff(
                "That is the best thing that a book can do. There are more on the list when you need them.",
            ),
        ],
    },
    Greeting {
        desk: Desk::Scheduler,
        subject: "موعد جديد",
        lines: &[
            Client("صباح الخير، هل يمكن تغيير موعدي إلى يوم الخميس الساعة 10:30؟"),
            Staff("صباح النور، نعم. تم تغيير الموعد إلى يوم الخميس الساعة 10:30 في مكتب Albany."),
            Client("شكرًا لكم 🌷"),
        ],
    },
    Greeting {
        desk: Desk::Biller,
        subject: "שאלה על החשבון",
        lines: &[
            Client("שלום, קיבלתי חשבון על $35.00 אבל כבר שילמתי בכרטיס. אפשר לבדוק?"),
            Staff("שלום, בדקנו: התשלום התקבל והיתרה היא 0. סליחה על הטעות."),
            Client("תודה רבה, יום טוב!"),
        ],
    },
    Greeting {
        desk: Desk::Clinician,
        subject: "关于下次见面",
        lines: &[
            Client("您好，下次见面我想带我太太一起来，可以吗？"),
            Staff("当然可以。请您太太先在门户里签一份同意书。"),
            Client("好的，已经签好了。谢谢！"),
        ],
    },
    Greeting {
        desk: Desk::Scheduler,
        subject: "予約の変更について",
        lines: &[
            Client("お世話になっております。来週の予約を午前に変更できますか。"),
            Staff("はい、水曜日の午前10時が空いております。いかがでしょうか。"),
            Client("水曜日の10時でお願いいたします。"),
            Staff("承知いたしました。お待ちしております。"),
        ],
    },
    Greeting {
        desk: Desk::Office,
        subject: "영상 상담 접속",
        lines: &[
            Client("안녕하세요, 영상 상담 링크가 열리지 않아요."),
            Staff("안녕하세요. 링크는 시작 10분 전에 열립니다. 그때 다시 눌러 보시겠어요?"),
            Client("이제 잘 됩니다. 감사합니다!"),
        ],
    },
    Greeting {
        desk: Desk::Biller,
        subject: "Neue Versichertenkarte",
        lines: &[
            Client("Guten Tag, ich habe eine neue Versichertenkarte. Genügt ein Foto von beiden Seiten?"),
            Staff("Guten Tag, ja, das genügt. Bitte laden Sie es unter »Insurance« hoch."),
            Client("Erledigt. Schöne Grüße!"),
        ],
    },
    Greeting {
        desk: Desk::Office,
        subject: "Giấy tờ",
        lines: &[
            Client("Chào anh chị, tôi có cần mang theo giấy tờ gì cho buổi hẹn đầu tiên không?"),
            Staff("Dạ chào chị, chỉ cần thẻ bảo hiểm và một giấy tờ có ảnh. Hẹn gặp chị!"),
            Client("Cảm ơn nhiều ạ."),
        ],
    },
    Greeting {
        desk: Desk::Clinician,
        subject: "Дякую за зустріч",
        lines: &[
            Client("Доброго дня! Дякую за вчорашню зустріч, мені стало зрозуміліше, що робити далі."),
            Staff("Доброго дня! Рада це чути. До зустрічі наступного тижня."),
        ],
    },
];
